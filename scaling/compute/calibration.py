"""A short run on the machine at hand, by which estimates of time are corrected.

One batch is generated, decoded and scored with the true models, after a step that is not counted. What is kept is how
much longer (or shorter) each stage took than was estimated for that device: it holds for other lengths and numbers too.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from generators import load_generator
from generators.protocol import Job
from generators.registry import given_sampling
from generators.stepping import stoppable
from music.devices import find_device
from music.durable import write_json
from music.errors import InputError
from music.files import read_object
from music.prompts import Prompt
from reward.protocol import ScoreRequest
from reward.registry import load_reward
from scaling.compute.estimate import STAGES, Estimate

_SAME = ("generator", "reward", "dtype", "gpu")


def calibrate(config: Any, estimate: Estimate, prompt: Prompt, path: Path) -> dict[str, float]:
    """Make and score a batch, write what it took to a file, and return measured over estimated time of each stage.

    Raises
    ------
    InputError
        If this machine does not have the device that is planned for.
    """
    device = find_device("cpu" if config.gpu == "cpu" else "cuda")
    generator = load_generator(
        config.generator, config.backend, str(device), config.dtype, **given_sampling(config)
    )
    steps = stoppable(generator)
    scorer = load_reward(config)
    jobs = [Job(prompt, index, index) for index in range(estimate.batch_size)]
    begun = steps.begin(jobs, config.seconds)
    steps.advance(begun, 1 / begun[0].steps)  # lays out weights and encodes the text
    made, generating = _timed(lambda: steps.advance(begun, 1.0), device)
    samples, decoding = _timed(lambda: [steps.finish(partial) for partial in made], device)
    requests = [ScoreRequest(sample.clip, prompt) for sample in samples]
    scorer.score(requests[:1])
    _, scoring = _timed(lambda: scorer.score(requests[1:] or requests), device)
    scored = max(1, len(requests) - 1)
    measured = {"generate": generating, "decode": decoding / len(samples), "score": scoring / scored}
    estimated = estimate.unit_seconds()
    factors = {stage: measured[stage] / estimated[stage] for stage in STAGES}
    write_json(
        path,
        {
            **{name: getattr(config, name) for name in _SAME},
            "clip_seconds": config.seconds,
            "batch_size": estimate.batch_size,
            "measured_seconds": measured,
            "estimated_seconds": estimated,
            "measured_over_estimated": factors,
        },
    )
    return factors


def read_calibration(config: Any, path: Path) -> dict[str, float]:
    """Return measured over estimated time of each stage from a file of `calibrate`.

    Raises
    ------
    InputError
        If it is no such file, or was measured of other models, numeric type or device.
    """
    found = read_object(path)
    for name in _SAME:
        asked = getattr(config, name)
        if found.get(name) != asked:
            raise InputError(f"{path} was measured with --{name} {found.get(name)}, not {asked}")
    factors = found.get("measured_over_estimated")
    if not isinstance(factors, dict) or any(not _is_factor(factors.get(stage)) for stage in STAGES):
        raise InputError(f"{path} is no file of scaling.plan --calibrate")
    return {stage: float(factors[stage]) for stage in STAGES}


def _is_factor(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _timed(work: Callable[[], Any], device: torch.device) -> tuple[Any, float]:
    began = time.perf_counter()
    found = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return found, time.perf_counter() - began
