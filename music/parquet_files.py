"""Parquet files, read a few rows at a time."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.optional_libraries import install_extra

_TOGETHER = 16  # rows; one may hold minutes of audio


def read_parquet(path: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a parquet file.

    Parameters
    ----------
    columns
        Those to read, where the file has them; all by default.

    Raises
    ------
    InputError
        If pyarrow is not installed, or the file cannot be read.
    """
    with _opened(path) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if columns is None or name in columns]
        for batch in _guarded(path, file.iter_batches(batch_size=_TOGETHER, columns=wanted)):
            yield from batch.to_pylist()


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a file's columns; raises as `read_parquet` does."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def _opened(path: Path) -> Any:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        cure = install_extra("parquet")
        raise InputError(f'reading {path} needs the extra "parquet" ({error}): {cure}') from error
    try:
        return ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} cannot be read as parquet: {error}") from error


def _guarded(path: Path, batches: Iterator[Any]) -> Iterator[Any]:
    import pyarrow

    while True:
        try:
            batch = next(batches, None)
        except (OSError, pyarrow.ArrowException) as error:
            raise InputError(f"{path} cannot be read as parquet: {error}") from error
        if batch is None:
            return
        yield batch
