"""JSON Lines: read with line numbers, append so that a kill costs at most the line in flight."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from music.durable import make_folder, sync_folder, writing
from music.errors import InputError
from music.locks import open_locked
from music.paths import reading
from music.texts import JsonError, broken_text, parse_json


def dump_line(row: Mapping[str, Any]) -> str:
    """Return one row as the text of one line with its newline."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def read_jsonl(
    path: str | Path, *, torn_end: bool = True, whole_texts: bool = True
) -> list[tuple[int, dict[str, Any]]]:
    """Read a file of one JSON object a line.

    Parameters
    ----------
    path
        The file, UTF-8. Blank lines are skipped.
    torn_end
        Ignore a last line that has no newline and is not whole, as a killed `JsonlAppender` leaves it.
        False for files that people write, where such a line is a mistake to report.
    whole_texts
        Refuse half a surrogate pair, which JSON can escape and no file can hold.

    Returns
    -------
    list of (line number from 1, row)

    Raises
    ------
    InputError
        If the file cannot be read, a line is not a JSON object or is nested without end, a number is not finite (NaN,
        Infinity, 1e999), or a text is not whole; the message names file and line.
    """
    with reading(path):
        data = Path(path).read_bytes()
    rows = []
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _parse(line)
        if isinstance(row, dict):
            if whole_texts and b"\\u" in line and (text := broken_text(row)) is not None:
                raise InputError(
                    f"{path} line {number}: holds half a Unicode surrogate pair, not a character: {text!a}"
                )
            rows.append((number, row))
        elif not (torn_end and number == len(lines)):
            raise InputError(f"{path} line {number}: {row}")
    return rows


def _parse(line: bytes) -> dict[str, Any] | str:
    """Return the row, or what is wrong with the line."""
    try:
        row = parse_json(line, _finite)
    except JsonError as error:
        return str(error)
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte {error.start})"
    except ValueError:
        row = None
    return row if isinstance(row, dict) else f"expected one JSON object, got {_shorten(line)}"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"holds {text}, expected finite numbers (null or no field stands for an unknown one)")
    return value


def _shorten(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")


class JsonlAppender:
    """Append rows to a JSON Lines file, durable when `append` returns.

    Opening locks the file against other writers (the lock ends with the process, however it ends) and heals
    it: a torn last line (no newline, not whole) is cut off, a whole one gets its newline.

    Parameters
    ----------
    path
        The file; it and its folder are created when missing.

    Raises
    ------
    InputError
        If the file cannot be written, or another process is writing it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make_folder(self.path.parent)
        with writing(self.path):
            self._file = open_locked(self.path)
            try:
                self._heal()
                sync_folder(self.path.parent)
            except (OSError, InputError):
                self._file.close()
                raise

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Write each row as one line and sync them to the disk; half a character becomes a question mark.

        Raises
        ------
        InputError
            If the disk is full or the like; the file is cut back to what it was.
        """
        data = "".join(map(dump_line, rows)).encode("utf-8", "replace")
        with writing(self.path):
            size = self._file.seek(0, os.SEEK_END)
            try:
                self._write(data)
            except OSError:
                self._file.truncate(size)
                raise

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())

    def _heal(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        torn = data[data.rfind(b"\n") + 1 :]
        if not torn:
            return
        if isinstance(_parse(torn), dict):
            self._write(b"\n")
        else:
            self._file.truncate(len(data) - len(torn))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "JsonlAppender":
        """Return the appender."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()
