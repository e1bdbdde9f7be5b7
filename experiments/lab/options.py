"""Options that commands of the lab share."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.running import cores
from music.command import refuse_below_one
from music.shipped_files import LAB

_SECONDS = 0.02  # of a core of a Xeon, to make a clip


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Where the lab's models are.

    Attributes
    ----------
    suite
        Folder of the lab's models.
    """

    RENAMED: ClassVar = {"models": "suite"}

    suite: Path = LAB


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How work is shared.

    Attributes
    ----------
    workers
        Number of processes that work side by side.
    """

    workers: int = cores()

    def __post_init__(self) -> None:
        refuse_below_one(self, "workers")

    def announce(self, name: str, clips: float, gigabytes: float) -> None:
        """Say on stderr how many clips will be made, how large they are, and how long that takes."""
        minutes = max(1, round(clips * _SECONDS / self.workers / 60))
        print(
            f"{name}: about {clips:,.0f} clips, {gigabytes:.1f} GB and {minutes} min "
            f"with {self.workers} process{'es' * (self.workers > 1)}; clips that are there are kept",
            file=sys.stderr,
        )
