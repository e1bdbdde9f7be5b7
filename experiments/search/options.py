"""Options of a comparison of methods of search at equal compute.

    music-reward compare-searches musicgen --workers 2
    python -m experiments.search stable_audio --limit 32 --budgets 10 --seeds 1 --sampling_steps 10

What is done with them is told in `experiments.search.command`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from experiments.search.tried import FAMILIES, METHODS, Options
from music.command import refuse_below_one, split_names
from music.errors import InputError
from music.options import Generation, Judging, Rewarding, Runtime
from scaling.best_of_n import BestOfN
from scaling.search import Search

CHOOSING, HELD_OUT = "choosing", "held_out"  # the stages
_SHARED = {
    field.name for kind in (Generation, Rewarding, Runtime) for field in fields(kind)
}  # of this command, search and best of n alike


@dataclass(frozen=True)
class CompareSearches(Judging, Generation, Runtime):
    """Compare methods of search at equal compute, with best of n as the yardstick, on the lab.

    Attributes
    ----------
    family
        Family of generators whose methods are compared: musicgen or stable_audio.
    methods
        Methods, separated by commas; by default all that the family can run.
    budgets
        Compute for each prompt in finished and scored clips, separated by commas.
    target
        Number of candidates of the best of n that methods are asked to reach with less compute.
    generator
        Generator: a name, hub id or folder; the lab's of the family if not given.
    choosing
        Prompts on which each method's options are chosen, by the reward; given as in scaling/best_of_n.py.
    choosing_budget
        Compute for each prompt at which they are chosen.
    held_out
        Prompts on which everything is judged, given as `choosing`.
    limit
        Number of prompts of --held_out to take from the beginning; all if not given.
    choosing_limit
        Number of prompts of --choosing to take from the beginning; as many as --limit if not given.
    seeds
        Number of runs of each method.
    seconds
        Length of each clip, s.
    encoders
        Joint embeddings, separated by commas, by which the diversity of the chosen clips is measured.
    workers
        Number of searches side by side, of one thread each.
    output
        Folder for a folder of each family. The same folder again resumes.
    """

    POSITIONALS: ClassVar = ("family",)

    judges: str = "experiments.lab.gold:GoldB"
    family: str = "musicgen"
    methods: str = ""
    budgets: str = "4,10,16"
    target: int = 10
    generator: str | None = None
    choosing: str = "lab-choosing"
    choosing_budget: float = 10
    held_out: str = "lab-held-out"
    limit: int | None = None
    choosing_limit: int | None = None
    seeds: int = 2
    seconds: float = 5.0
    encoders: str = "mulan:lab-mulan"
    workers: int = 1
    output: Path = Path("runs/searches")

    def __post_init__(self) -> None:
        """Refuse unknown methods, what a family cannot run, and numbers out of range."""
        if self.family not in FAMILIES:
            raise InputError(f"{self.family!r} is not compared: choose one of {', '.join(FAMILIES)}")
        refuse_below_one(self, "target", "limit", "choosing_limit", "seeds", "workers", "batch_size")
        able = [name for name, tried in METHODS.items() if self.family in tried.families]
        for name in self.names:
            if name not in able:
                raise InputError(f"--methods: {name!r} is none for {self.family}: expected {', '.join(able)}")
        try:
            clips = [*self.numbers, self.choosing_budget]
        except ValueError as error:
            raise InputError(f"--budgets {self.budgets!r}: expected numbers with commas between") from error
        if not self.numbers or len({*self.numbers}) < len(self.numbers):
            raise InputError(f"--budgets {self.budgets!r}: expected numbers, each once")
        for budget in clips:
            if not (math.isfinite(budget) and budget >= 1):
                raise InputError(f"--budgets and --choosing_budget must be at least one clip, got {budget:g}")
        for name in self.names:
            for options in METHODS[name].options:
                self.search(name, options, self.numbers[0], 0, self.output, HELD_OUT)

    @property
    def names(self) -> list[str]:
        """The methods."""
        able = [name for name, tried in METHODS.items() if self.family in tried.families]
        return split_names(self.methods) or able

    @property
    def numbers(self) -> list[float]:
        """The budgets, ascending."""
        return sorted(float(one) for one in split_names(self.budgets))

    @property
    def most(self) -> int:
        """Number of candidates of the best of n that all is measured by."""
        return max(math.ceil(self.numbers[-1]), self.target)

    @property
    def folder(self) -> Path:
        """Folder of the family."""
        return self.output / self.family

    def prompts(self, stage: str) -> tuple[str, int | None]:
        """Return the prompts of a stage, as they are given, and how many of them."""
        if stage == HELD_OUT:
            return self.held_out, self.limit
        return self.choosing, self.limit if self.choosing_limit is None else self.choosing_limit

    def _made(self, stage: str) -> dict[str, Any]:
        """Return the options of whatever makes and scores clips."""
        family = FAMILIES[self.family]
        shared = {name: getattr(self, name) for name in _SHARED}
        shared |= {name: value for name, value in family.sampling.items() if shared[name] is None}
        prompts, limit = self.prompts(stage)
        own: dict[str, Any] = {"generator": self.generator or family.generator, "seconds": self.seconds}
        own |= {"prompts": prompts, "limit": limit}
        return {**shared, **own}

    def search(
        self, method: str, options: Options, budget: float, seed: int, folder: Path, stage: str
    ) -> Search:
        """Return the options of scaling/search.py for a run of a stage."""
        own: dict[str, Any] = {"method": method, "budget": budget, "seed": seed, **options}
        return Search(**self._made(stage), **own, output=folder)

    def best_of_n(self, seed: int, folder: Path) -> BestOfN:
        """Return the options of scaling/best_of_n.py for the yardstick."""
        return BestOfN(**self._made(HELD_OUT), n=self.most, seed=seed, output=folder)
