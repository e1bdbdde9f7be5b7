"""The corpus: song `index` of a split, always the same, with its sound, its facts and its words.

Splits draw from different random streams, so they share no song. A damaged twin is the same composition with
damage; a reference is another composition with the same facts.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from experiments.lab.world import damage as damages
from experiments.lab.world.composition import Composition, compose
from experiments.lab.world.facts import Facts, draw_facts
from experiments.lab.world.rendering import render
from experiments.lab.world.wording import caption, lyrics

SPLITS = ("train", "validation", "test")
#: probability that a caption names a fact; it always names the instrument
NAMING = {"tempo": 0.85, "mode": 0.7, "drums": 0.85, "register": 0.5, "texture": 0.5, "vocals": 0.5}


def stream(*name: object) -> np.random.Generator:
    """Return the random generator that belongs to a name, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, name)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def logistic(rng: np.random.Generator) -> float:
    """Draw from the standard logistic distribution, without its outermost tails."""
    share = float(rng.uniform(1e-6, 1 - 1e-6))
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class Song:
    """One song: what is true of it, how long it is, what was done to it, and how to hear it.

    Attributes
    ----------
    key
        Name of the random streams of the song: (split, purpose, index).
    facts
        What is true of it.
    seconds
        Its length, s.
    damage
        Strength of each kind of damage, in [0, 1]; empty for an undamaged song.
    bpm
        Beats per minute; drawn from the class of the tempo if None.
    """

    key: tuple[str, str, int]
    facts: Facts
    seconds: float
    damage: Mapping[str, float] = field(default_factory=dict)
    bpm: float | None = None

    @property
    def severity(self) -> float:
        """Severity of the damage in [0, 1]; 0 is undamaged. Musicality falls as it rises."""
        return damages.severity(self.damage)

    def composition(self) -> Composition:
        """Return the notes before any damage."""
        return compose(self.facts, self.seconds, stream(*self.key, "notes"), self.bpm)

    @property
    def tonic(self) -> int:
        """Pitch class of the key, C is 0: every progression begins on it, in the bass."""
        return self.composition().parts["bass"][0].pitch % 12

    def waveform(self) -> np.ndarray:
        """Render to float32 [samples] at 16 kHz."""
        rng = stream(*self.key, "damage")
        notes = damages.damage_notes(self.composition(), self.damage, rng)
        return damages.damage_sound(render(notes, self.seconds), self.damage, rng)

    def caption(self, named: Sequence[str], variant: int = 0) -> str:
        """Describe the named facts; another `variant` says the same in other words."""
        return caption(self.facts, named, stream(*self.key, "caption", variant))

    def named_facts(self, variant: int = 0) -> tuple[str, ...]:
        """Draw which facts a caption of this song names; the instrument always."""
        rng = stream(*self.key, "named", variant)
        return ("instrument", *(name for name, share in NAMING.items() if rng.random() < share))

    def lyrics(self) -> str:
        """Return the words that are sung, "" for an instrumental song."""
        return lyrics(self.facts, self.seconds, stream(*self.key, "lyrics"))


def song(
    split: str,
    purpose: str,
    index: int,
    seconds: float = 5.0,
    facts: Facts | None = None,
    damaged: float = 0.0,
) -> Song:
    """Return song `index` of a split.

    Parameters
    ----------
    purpose
        A further name, so that a codec, a generator and a benchmark can each have songs of their own.
    facts
        Facts that it should have; drawn if None.
    damaged
        Probability that it carries damage.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
    key = (split, purpose, index)
    facts = facts or draw_facts(stream(*key, "facts"))
    rng = stream(*key, "severity")
    damage = damages.draw_damage(rng) if rng.random() < damaged else {}
    return Song(key, facts, seconds, damage)
