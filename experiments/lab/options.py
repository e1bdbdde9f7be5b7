"""Options that commands of the lab share."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.running import cores
from music.command import refuse_below_one
from music.shipped_files import LAB


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
