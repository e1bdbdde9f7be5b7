"""As many threads as score fastest: on cores that others use too, a small model is often faster on one of them."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt
from reward.protocol import Scorer, ScoreRequest

_FEWEST = 50  # requests for which measuring pays
_TRIAL = 1.0  # s, also what a request to a model that is not small takes
_CLIP, _RATE = 4.0, 24_000  # s, Hz
_ROUNDS = 3


@contextmanager
def fastest_threads(scorer: Scorer, requests: int) -> Iterator[None]:
    """Let torch compute with as many threads as score fastest, one or all, inside the block.

    Nothing is changed for few requests, for a model that is not small, for a scorer that asks for several requests at a
    time, as it spreads them over the cores by itself, or where ``OMP_NUM_THREADS`` says how many.

    Parameters
    ----------
    scorer
        Scorer, which is measured if it takes clips in memory.
    requests
        Number of requests in the block.
    """
    given = torch.get_num_threads()
    can_gain = scorer.takes_clips and scorer.batch_size == 1
    if requests >= _FEWEST and given > 1 and can_gain and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(_fastest(scorer, given))
    try:
        yield
    finally:
        torch.set_num_threads(given)


def _fastest(scorer: Scorer, given: int) -> int:
    noise = torch.Generator().manual_seed(0)
    times: dict[int, list[float]] = {1: [], given: []}
    try:
        if _seconds(scorer, _new_request(noise), 1) > _TRIAL:
            return given
        began = time.perf_counter()
        for _ in range(_ROUNDS):  # in turn, as others come and go
            for threads, found in times.items():
                found.append(_seconds(scorer, _new_request(noise), threads))
            if time.perf_counter() - began > _TRIAL:
                break
    except InputError:  # a scorer that wants more of a prompt
        return given
    return min(times, key=lambda threads: statistics.median(times[threads]))


def _new_request(noise: torch.Generator) -> ScoreRequest:
    """Return a request whose clip a scorer cannot remember."""
    clip = Clip(torch.randn(1, int(_CLIP * _RATE), generator=noise) * 0.1, _RATE)
    return ScoreRequest(clip, Prompt("trial", "music"))


def _seconds(scorer: Scorer, request: ScoreRequest, threads: int) -> float:
    torch.set_num_threads(threads)
    began = time.perf_counter()
    scorer.score([request])
    return time.perf_counter() - began
