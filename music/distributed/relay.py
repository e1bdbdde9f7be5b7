"""What a process prints, passed on by lines, while the lines with which it ends are kept for the end of the run."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from typing import Any, TextIO

from music.errors import InputError

#: how the last line of a command begins that has failed or was stopped
_LAST = re.compile(rb"error: |interrupted(?:$|: )|stopped by SIG")
_SOME = 2**16  # bytes


class Relay(threading.Thread):
    """Passes on what comes from a pipe or terminal, until nobody can write to it any more.

    Parameters
    ----------
    source
        Descriptor that is read, and closed in the end.
    target
        Where it goes.
    sifts
        Whether lines are kept that say why a process ends.

    Attributes
    ----------
    held
        Lines that were kept.
    last
        The last line that is not empty.
    traceback
        Whether a traceback was the last of it.
    lost
        Why some of it could not be passed on.
    """

    _lock = threading.Lock()  # of all targets: they may be one terminal

    def __init__(self, source: int, target: TextIO, sifts: bool = False) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._sifts = source, target, sifts
        self._is_terminal = os.isatty(source)
        self._part, self._begun, self._in_traceback = b"", False, False
        self.held: list[str] = []
        self.last, self.traceback = "", False
        self.lost: InputError | None = None

    @property
    def message(self) -> str:
        """Why the process has ended, in the words that another may repeat."""
        if not self.held:
            return self.last
        line = self.held[-1]
        return line.removeprefix("error: ") if line.startswith("error: ") else line.partition(": ")[0]

    def run(self) -> None:
        """Read to the end."""
        with (
            os.fdopen(self._source, "rb", buffering=0) as file,
            suppress(OSError),
        ):  # a terminal ends with EIO
            while data := file.read(_SOME):
                self._take(data)
        if self._part:
            self._take(b"\n")

    def _take(self, data: bytes) -> None:
        *lines, self._part = (self._part + data).split(b"\n")
        shown = b"".join(map(self._shown, lines))
        if self._is_terminal:
            shown += self._unfinished()
        if shown:
            self._write(shown)

    def _unfinished(self) -> bytes:
        """Return what is printed now of a line without an end: a bar, and no last line."""
        before, overwritten, words = self._part.rpartition(b"\r")
        if (overwritten or not self._begun) and _LAST.match(words):
            self._begun, self._part = False, words
            return before + overwritten
        found, self._part = self._part, b""
        self._begun |= bool(found)
        return found

    def _shown(self, line: bytes) -> bytes:
        """Return what is printed now of a line, or of the rest of one that has begun."""
        before, overwritten, words = line.rstrip(b"\r").rpartition(b"\r")
        is_whole, self._begun = bool(overwritten) or not self._begun, False
        text = words.decode(errors="replace").rstrip()
        if text and not text.startswith(" "):
            self.traceback = self._in_traceback
            self._in_traceback = text == "Traceback (most recent call last):"
        self.last = text or self.last
        if self._sifts and is_whole and _LAST.match(words):
            self.held.append(text)
            return before + overwritten
        return line + b"\n"

    def _write(self, data: bytes) -> None:
        target: Any = self._target
        try:
            with self._lock:
                target.buffer.write(data)
                target.flush()
        except InputError as error:  # a full disk: who prints must not wait, and the run goes on
            self.lost = error


def terminal() -> tuple[int, int]:
    """Return the ends of a terminal like that of stderr: the one to read from, and the one that a process prints to."""
    import fcntl
    import termios
    import tty

    reading, printing = os.openpty()
    tty.setraw(printing)  # what is printed stays as it is
    size = fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8))
    fcntl.ioctl(printing, termios.TIOCSWINSZ, size)
    return reading, printing
