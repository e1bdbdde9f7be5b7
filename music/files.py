"""Files that people hand in: text, CSV, JSON objects and Parquet, with errors that name the file and the line.

Text is UTF-8, with or without a byte order mark. JSON Lines are read by `music.jsonl`.
"""

import csv
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.optional_libraries import install_extra

Row = dict[str, str | None]  # None where a line ends early
_TOGETHER = 16  # rows; one may hold minutes of audio


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    InputError
        If it cannot be read or is not UTF-8; the message names file and byte.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_csv(path: Path) -> tuple[Sequence[str], list[tuple[int, Row]]]:
    """Read a CSV file with a header.

    Returns
    -------
    tuple
        The names of the columns; and the rows, each with the line where it ends.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8 or not CSV, or a row has more fields than the header; the message
        names file and line.
    """
    reader = csv.DictReader(read_text(path).splitlines(keepends=True), strict=True)
    rows: list[tuple[int, Row]] = []
    try:
        columns = reader.fieldnames or ()
        for row in reader:
            if None in row:
                raise InputError(
                    f"{path} line {reader.line_num}: more fields than the {len(columns)} of the header"
                )
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise InputError(f"{path} line {reader.reader.line_num}: not CSV ({error})") from error
    return columns, rows


def read_object(path: str | Path) -> dict[str, Any]:
    """Return the fields of the object that a file holds.

    Raises
    ------
    InputError
        If the file cannot be read as JSON, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


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
