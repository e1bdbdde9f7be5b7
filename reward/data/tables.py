"""Rows of JSON Lines, CSV and parquet files, and of data sets on the hub."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_csv, read_parquet
from music.hub import hub_errors
from music.jsonl import read_jsonl
from music.paths import files_in, is_folder

SUFFIXES = (".jsonl", ".csv", ".parquet")


def table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the place of each row of a table, such as "FILE line 3", and the row.

    Parameters
    ----------
    path
        A file with one of `SUFFIXES`, or a folder of parquet files, which are read in the order of their names.

    Raises
    ------
    InputError
        If there is no such table, or it cannot be read.
    """
    if is_folder(path):
        files = files_in(path, "**/*.parquet")
        if not files:
            raise InputError(f"{path} holds no parquet file: name the file with the rows")
        for file in files:
            yield from table_rows(file)
    elif path.suffix == ".jsonl":
        for line, row in read_jsonl(path, torn_end=False):
            yield f"{path} line {line}", row
    elif path.suffix == ".csv":
        for line, row in read_csv(path)[1]:
            yield f"{path} line {line}", row
    elif path.suffix == ".parquet":
        for number, row in enumerate(read_parquet(path), start=1):
            yield f"{path} row {number}", row
    else:
        raise InputError(f"{path}: expected {', '.join(SUFFIXES)} or a folder of parquet files")


def from_hub(name: str) -> Path:
    """Return a folder with the files of a data set on the hub, such as ``HaiwenXia/cmi-pref``.

    Raises
    ------
    InputError
        If the hub does not give it.
    """
    from huggingface_hub import snapshot_download

    if Path(name).suffix in SUFFIXES:
        raise InputError(f"there is no file {name}")
    with hub_errors(name, f"there is no file or folder {name!r}", "data set"):
        return Path(snapshot_download(name, repo_type="dataset"))
