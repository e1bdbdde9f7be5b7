"""What is compared: the methods of search, the families of generators that each is for, and its options that are tried.

A method is one line of `METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

Options = Mapping[str, object]
BOTH, LATENT = ("musicgen", "stable_audio"), ("stable_audio",)


@dataclass(frozen=True)
class Family:
    """Generators of one kind.

    Attributes
    ----------
    generator
        The one that is searched by default.
    sampling
        How it samples where the command does not say.
    """

    generator: str
    sampling: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Tried:
    """A method, as it is tried.

    Attributes
    ----------
    families
        Families of generators that it is for.
    options
        Options of scaling/search.py, of which those with the highest reward are chosen; nothing is tried of one alone.
    """

    families: Sequence[str]
    options: Sequence[Options] = ({},)


def grid(**values: Sequence[object]) -> list[Options]:
    """Return all combinations of the values of some options."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


FAMILIES = {
    "musicgen": Family("lab-musicgen"),
    "stable_audio": Family("lab-stable-audio", {"guidance": 7.0, "sampling_steps": 25}),
}
SCHEDULES = ("0.2=0.5,0.5=0.5", "0.3=0.5,0.5=0.5", "0.4=0.5", "0.5=0.3")
METHODS = {
    "prune": Tried(BOTH, grid(schedule=SCHEDULES)),
    "cfg": Tried(LATENT, grid(schedule=SCHEDULES)),
    "stop": Tried(BOTH),
    "noise": Tried(LATENT),
    "particles": Tried(BOTH, grid(looks=("0.2,0.4,0.6,0.8", "0.5"), tempering=(1.0, 2.0, 4.0))),
    "evolve": Tried(LATENT),
}


def told(options: Options) -> str:
    """Return options as a command line has them, without dashes."""
    return " ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in options.items()
    )
