"""What is drawn for one purpose is never drawn for another, nor for a clip."""

from itertools import product
from pathlib import Path

import numpy as np
import torch

import rlhf
from generators.diffusion.sampling import GaussianNoise
from music.hashing import candidate_seed, copy_seed, purpose_seed
from rlhf.stable_audio.divergence import noise_of
from rlhf.streams import Purpose, seed_of, stream


def test_no_two_purposes_share_a_stream():
    seeds = [0, 1, 2**32, candidate_seed(0, "round", 0), candidate_seed(0, "round", 1)]
    places = [(), *product(range(3)), *product(range(3), repeat=2)]
    found = [seed_of(*one, *place) for one in product(seeds, Purpose) for place in places]
    found += [
        candidate_seed(seed, name, index) for seed in seeds for name in ("update", "a") for index in (0, 1)
    ]
    found += [copy_seed(seed, step, 1) for seed in seeds for step in range(2)]
    assert len(set(found)) == len(found)
    first = [
        stream(seed, purpose, *place).random() for seed in seeds for purpose in Purpose for place in places
    ]
    assert len(set(first)) == len(first)


def test_nothing_is_drawn_from_seeds_that_are_not_hashed():
    """Numbers and lists of numbers as numpy takes them: `[seed, 0]` is `seed`."""
    sources = list(Path(rlhf.__file__).parent.rglob("*.py"))
    assert len(sources) > 40
    assert [path.name for path in sources if "default_rng" in path.read_text(encoding="utf-8")] == []


def test_a_seed_of_a_purpose_is_what_it_was():
    """Folders of killed trainings depend on it."""
    assert purpose_seed(7, "order") == 8114488212862828895
    assert purpose_seed(7, "noise", 3, 1) == 2193373856686755023


def test_a_divergence_is_not_measured_with_the_noise_that_made_the_clip():
    seed = candidate_seed(0, "p", 0)
    made_from = GaussianNoise([seed], (4, 16), 1).draw()[0]
    for level in range(8):
        noise = noise_of(seed, level, (4, 16))
        assert not torch.equal(noise, made_from)
        assert abs(np.corrcoef(noise.flatten(), made_from.flatten())[0, 1]) < 0.5
