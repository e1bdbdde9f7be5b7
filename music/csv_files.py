"""CSV tables that people write: read with line numbers."""

import csv
from collections.abc import Sequence
from pathlib import Path

from music.errors import InputError
from music.text_files import read_text

Row = dict[str, str | None]  # None where a line ends early


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
