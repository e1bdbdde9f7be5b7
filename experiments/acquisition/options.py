"""Options of a comparison of ways to choose the pairs that raters are asked about.

    python -m experiments.acquisition --workers 2 --output runs/acquisition
    python -m experiments.acquisition --acquisitions random,information --seeds 5 --reward runs/cmi_rm --rounds 8

What is done with them is told in `experiments.acquisition.command`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from experiments.acquisition.curves import RANDOM
from music.command import refuse_below_one, split_names
from music.errors import InputError
from music.options import Judging, Runtime, read_options
from rlhf.asking.options import RewardLoop

_OF_LOOP = {field.name for field in fields(RewardLoop)}
_SET_HERE = ("acquisition", "seed", "pool_seed", "embeddings", "output", "raters")


@dataclass(frozen=True)
class CompareAcquisitions(Judging, Runtime):
    """Compare ways of choosing the pairs that raters are asked about, at equal numbers of answers, on the lab.

    Attributes
    ----------
    acquisitions
        Ways, separated by commas, as `acquisition` of the loop names them; random is among them.
    seeds
        Number of loops of each way.
    rounds
        Rounds of each loop.
    budget
        Answers in each round.
    ensemble
        Number of heads of each reward, the same for all ways: several learn by gradient descent, and only among these
        can disagreement choose.
    generator
        Generator whose clips are asked about.
    prompts
        Prompts, given as in scaling/best_of_n.py.
    n
        Number of candidates for each prompt.
    held_out
        Prompts to measure on, given as `prompts`.
    held_out_n
        Number of candidates for each held-out prompt.
    seconds
        Length of each clip, s.
    limit
        Number of prompts to take from the beginning; all if not given.
    loop
        Further options of the loop, such as steps=150,rater_scale=0.3; JSON is taken too.
    workers
        Number of loops side by side, of one thread each.
    output
        Folder for all that is made. The same folder again resumes.
    """

    judges: str = "experiments.lab.gold:GoldB"
    acquisitions: str = "random,best_second,best_median,information,mix"
    seeds: int = 3
    rounds: int = 4
    budget: int = 125
    ensemble: int | None = None
    generator: str = "lab-musicgen"
    prompts: str = "lab-train"
    n: int = 8
    held_out: str = "lab-choosing"
    held_out_n: int = 16
    seconds: float = 5.0
    limit: int | None = None
    loop: str | dict[str, Any] = ""
    workers: int = 1
    output: Path = Path("runs/acquisition")

    def __post_init__(self) -> None:
        """Refuse what no loop would take, unknown ways among it."""
        refuse_below_one(self, "seeds", "rounds", "budget", "workers")
        if not self.judges:
            raise InputError("--judges is empty, and nothing would be measured: name at least one")
        known = get_args(get_type_hints(RewardLoop)["acquisition"])
        for name in self.ways:
            if name not in known:
                raise InputError(f"--acquisitions: {name!r} is unknown: expected {', '.join(known)}")
        if RANDOM not in self.ways or len(set(self.ways)) < len(self.ways):
            raise InputError(f"--acquisitions {self.acquisitions}: name each once, and {RANDOM} among them")
        taken = {field.name for field in fields(self)} | {*_SET_HERE}
        for name in read_options(self.loop):
            if name not in _OF_LOOP or name in taken:
                raise InputError(f"--loop {name}: is no option of the loop that is free here")
        self.loop_of(RANDOM, 0)

    @property
    def ways(self) -> list[str]:
        """Names of the ways."""
        return split_names(self.acquisitions)

    @property
    def clips(self) -> Path:
        """Folder of the clips of all loops."""
        return self.output / "clips"

    def loop_of(self, way: str, seed: int) -> RewardLoop:
        """Return the options of the loop of a way and a seed."""
        shared = {name: value for name, value in vars(self).items() if name in _OF_LOOP}
        own: dict[str, Any] = {"acquisition": way, "seed": seed, "pool_seed": 0}
        own |= {"output": self.output / "loops" / f"{way}-{seed}", "embeddings": self.clips / "embeddings"}
        return RewardLoop(**{**shared, **read_options(self.loop), **own})
