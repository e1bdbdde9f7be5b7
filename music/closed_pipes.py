"""Standard output and errors that nobody reads any more: ``| head`` ends neither the work nor its exit code."""

import io
import os
import sys
from typing import Any, TextIO

from music.errors import InputError


class _Pipe(io.FileIO):
    """A descriptor whose reader may go: what is written after that is dropped."""

    _closed = False

    def write(self, data: Any, /) -> int:
        """Write as `io.FileIO` does, or drop what nobody reads; `InputError` for what a full disk does not take."""
        if not self._closed:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._closed = True
            except OSError as error:
                self._closed = True
                raise InputError(f"cannot write what is printed: {error.strerror}") from error
        return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let standard output and errors of this process outlive who reads them.

    A character that the terminal's encoding lacks is escaped. What goes to a stream that was closed before the process
    began (``>&-``) is dropped. Streams that somebody has replaced are left alone.
    """
    if sys.stdout is sys.__stdout__:
        sys.stdout = _outliving(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _outliving(sys.stderr)


def _outliving(stream: Any) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    stream.flush()
    raw = _Pipe(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
