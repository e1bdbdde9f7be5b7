"""The random streams of a post-training: one for each purpose and place, none of which is that of another.

A stream of a purpose is a function of seed, purpose and place alone, so that neither a kill nor another number of
processes changes what is drawn. It is hashed: lists of numbers, as numpy takes them for seeds, are not all different
(`[seed, 0]` is `seed`), and `seed` may be that of a candidate, from whose stream a clip is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import torch

from generators.shared.noise import stream_of
from music.hashing import purpose_seed


class Purpose(Enum):
    """What is drawn for, and what its places are."""

    UPDATE = "update"  # first values of a low-rank update
    ORDER = "order"  # whose turn it is
    LEVELS = "levels"  # noise levels: step
    HIDDEN = "hidden"  # whose text is not shown: step
    NOISE = "noise"  # noise that is learned from: step, place in the batch
    DIVERGENCE = "divergence"  # noise that models are compared by: level; the seed is a candidate's


def seed_of(seed: int, purpose: Purpose, *place: int) -> int:
    """Return the 63-bit seed of a purpose and place, where something else draws.

    Parameters
    ----------
    seed
        Seed of the round, or of the candidate.
    purpose, place
        What is drawn for, and where.
    """
    return purpose_seed(seed, purpose.value, *place)


def stream(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """Return the stream of a purpose and place, at its beginning; its arguments are those of `seed_of`."""
    return stream_of(seed_of(seed, purpose, *place))


def normal(one: np.random.Generator, shape: Sequence[int]) -> torch.Tensor:
    """Return standard normal noise of a stream, float32."""
    return torch.from_numpy(one.standard_normal(tuple(shape), dtype=np.float32))
