"""Files that people hand in: text, tables, JSON, YAML and Parquet, with errors that name the file and the line.

Text is UTF-8, with or without a byte order mark; a line ends at a line feed, a carriage return or both, and at nothing
else that Unicode calls a separator. JSON Lines are read by `music.jsonl`.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from music.errors import InputError
from music.optional_libraries import install_extra
from music.paths import reading
from music.texts import broken_text, parse_json

Row = dict[str, str | None]  # None where a line ends early
_TOGETHER = 16  # rows; one may hold minutes of audio
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def read_text(path: str | Path) -> str:
    """Return the text of a file.

    Raises
    ------
    InputError
        If it cannot be read or is not UTF-8; the message names file and byte.
    """
    with reading(path):
        try:
            return Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text (byte {error.start})") from error


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Return the lines of a file that are not blank, without space around them, each with its number from 1.

    Raises
    ------
    InputError
        As `read_text` does.
    """
    lines = ((number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), start=1))
    return [(number, line) for number, line in lines if line]


def read_tsv(path: str | Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a file with tabs between fields, each with its number from 1.

    A quotation mark is a character like any other, unless a pair encloses the whole field as a spreadsheet writes it.

    Raises
    ------
    InputError
        As `read_text` does.
    """
    return [(number, [_unquoted(field) for field in line.split("\t")]) for number, line in read_lines(path)]


def _unquoted(field: str) -> str:
    quoted = _QUOTED.fullmatch(field.strip())
    return quoted[1].replace('""', '"') if quoted else field.strip()


def read_csv(path: Path) -> tuple[Sequence[str], list[tuple[int, Row]]]:
    """Read a CSV file with a header.

    Returns
    -------
    tuple
        The names of the columns; and the rows, each with the line where it ends.

    Raises
    ------
    InputError
        If the file cannot be read, is not UTF-8 or not CSV, the header names a column twice, or a row has more fields
        than the header; the message names file and line.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    rows: list[tuple[int, Row]] = []
    try:
        columns = reader.fieldnames or ()
        if twins := [name for number, name in enumerate(columns) if name and name in columns[:number]]:
            raise InputError(f"{path} line {reader.line_num}: column {twins[0]!r} comes twice: rename one")
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
        content = parse_json(read_text(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    if (text := broken_text(content)) is not None:
        raise InputError(f"{path} holds half a Unicode surrogate pair, not a character: {text!a}")
    return content


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    InputError
        If the file cannot be read as YAML.
    """
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error


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
            yield from batch


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
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} cannot be read as parquet: {error}") from error


def _guarded(path: Path, batches: Iterator[Any]) -> Iterator[list[dict[str, Any]]]:
    import pyarrow

    while True:
        try:
            batch = next(batches, None)
            rows = None if batch is None else batch.to_pylist()
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise InputError(f"{path} cannot be read as parquet: {error}") from error
        if rows is None:
            return
        yield rows
