"""The songs that the second gold judges learn from: streams, lengths of notes and damage that are nobody else's.

The first judges hear none to three kinds of damage, more often faint than strong; here it is none to two, of any
strength. What a song is heard through, too, is drawn otherwise: as it is, through the generator's codec, or with part
of it played by the generator (`training/regenerated.py`).
"""

import numpy as np

from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import draw_facts

SECONDS = 5.0
SUNG = 0.2  # share of songs
KINDS_DRAWN = (0.3, 0.45, 0.25)  # probabilities of 0, 1 and 2 kinds of damage


def gold_b_damage(rng: np.random.Generator) -> dict[str, float]:
    """Draw none to two kinds of damage, in the order in which they act, of strengths in [0.05, 1]."""
    count = int(rng.choice(len(KINDS_DRAWN), p=KINDS_DRAWN))
    chosen = rng.choice(len(KINDS), count, replace=False)
    return {KINDS[index]: float(rng.uniform(0.05, 1)) for index in sorted(chosen)}


def gold_b_song(split: str, index: int, seconds: float = SECONDS, damaged: bool = True) -> Song:
    """Return song `index` of a split, with or without its damage."""
    key = (split, "gold b", index)
    facts = draw_facts(stream(*key, "facts"), vocals=bool(stream(*key, "sung").random() < SUNG))
    return Song(key, facts, seconds, gold_b_damage(stream(*key, "mixture")) if damaged else {})
