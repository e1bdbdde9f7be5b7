"""Options of commands that score rows of a file."""

from dataclasses import dataclass
from pathlib import Path

from music.command import refuse_below_one
from music.errors import InputError
from music.options import Runtime


@dataclass(frozen=True, kw_only=True)
class Scoring(Runtime):
    """What scores.

    Attributes
    ----------
    reward
        Scorer: a name (lab-cmi-rm, clap ...), hub id (HaiwenXia/CMI-RM), folder, or module:Class of a module that can
        be imported.
    workers
        Threads that decode the audio of rows ahead of the model.
    """

    reward: str = "lab-cmi-rm"
    workers: int = 2

    def __post_init__(self) -> None:
        """`InputError` for a number of workers below 0."""
        if self.workers < 0:
            raise InputError(f"--workers must be at least 0, got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class RowScoring(Scoring):
    """Which rows are scored.

    Attributes
    ----------
    root
        Folder that paths in the rows are relative to; that of the rows by default.
    limit
        Number of rows to score, the first ones; what an earlier run scored beyond them stays for the next.
    """

    root: Path | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        """`InputError` also for a limit that counts nothing."""
        super().__post_init__()
        refuse_below_one(self, "limit")
