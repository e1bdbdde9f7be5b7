"""Options of commands that score rows of a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from music.command import refuse_below_one, refuse_negative
from music.errors import InputError
from music.options import Runtime
from music.paths import is_folder


@dataclass(frozen=True, kw_only=True)
class Scoring(Runtime):
    """What scores.

    Attributes
    ----------
    reward
        Scorer: a name (lab-cmi-rm, clap ...), hub id (HaiwenXia/CMI-RM), folder, or a class or function of your own,
        module:NAME or FILE.py:NAME; several with commas between give the metrics of all.
    reward_options
        Further arguments of what makes the scorer, such as max_seconds=10,mode=fast; JSON is taken too.
    checkpoint
        Checkpoint that is handed to the class of a module:Class.
    workers
        Threads that decode the audio of rows ahead of the model.
    """

    reward: str = "lab-cmi-rm"
    reward_options: str | dict[str, Any] = ""
    checkpoint: str | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        """`InputError` for a number of workers below 0, or beyond what a machine has."""
        refuse_negative(self, "workers")


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
        """`InputError` also for a limit that counts nothing, and a folder that is none."""
        super().__post_init__()
        refuse_below_one(self, "limit")
        if self.root is not None and not is_folder(self.root):
            raise InputError(f"--root {self.root} is not a folder")
