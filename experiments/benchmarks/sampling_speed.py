"""Times our sampling of MusicGen against transformers' own `generate()`: same weights, batch, length and guidance.

    python -m experiments.benchmarks.sampling_speed                    # the lab's model, clips of 5 s
    python -m experiments.benchmarks.sampling_speed --generator FOLDER --seconds 10 --batch_size 10

The two take turns, so that a machine whose speed drifts slows both. Ours makes exactly the clips that the pool gets:
one random stream a candidate, audio decoded clip by clip. `generate()` decodes the batch at once.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from generators import load_generator
from generators.delay_pattern import DelayPattern
from generators.model_folder import find_folder
from generators.musicgen_loading import load_model
from generators.protocol import Job
from generators.registry import NAMES
from music.command import refuse_below_one, run
from music.devices import find_device
from music.prompts import Prompt

TEXT = "a slow sad piano melody, no drums"


@dataclass(frozen=True)
class SamplingSpeed:
    """Time our sampling of a MusicGen against transformers' `generate()`.

    Parameters
    ----------
    generator
        A MusicGen: a registered name or a folder.
    seconds
        Length of each clip, s.
    batch_size
        Clips made side by side.
    rounds
        Timed turns of each, after one that is not counted.
    device
        auto, cpu or cuda.
    """

    generator: str = "lab-musicgen"
    seconds: float = 5.0
    batch_size: int = 16
    rounds: int = 3
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "rounds", "batch_size")


def main(options: SamplingSpeed) -> None:
    """Time both in turns and print medians and their ratio."""
    ours = load_generator(options.generator, device=options.device, batch_size=options.batch_size)
    source = NAMES.get(options.generator, ("transformers", options.generator))[1]
    device = find_device(options.device)
    model, tokenizer = load_model(find_folder(options.generator, source, tuple(NAMES)), device, torch.float32)
    jobs = [Job(Prompt("speed", TEXT), index, index) for index in range(options.batch_size)]
    text = tokenizer([TEXT] * options.batch_size, return_tensors="pt").to(device)
    frames = math.ceil(options.seconds * model.config.audio_encoder.frame_rate)
    decoder = model.config.decoder
    steps = DelayPattern(decoder.num_codebooks, decoder.audio_channels, frames).steps

    def sample_ours() -> int:
        return len(list(ours.generate(jobs, options.seconds)))

    def sample_theirs() -> int:
        audio = model.generate(**text, do_sample=True, guidance_scale=3.0, top_k=250, max_new_tokens=steps)
        return len(audio.cpu())  # as ours: a GPU has then finished when the clock is read

    seconds: dict[str, list[float]] = {"ours": [], "generate": []}
    for turn in range(options.rounds + 1):
        for name, sample in (("ours", sample_ours), ("generate", sample_theirs)):
            began = time.perf_counter()
            made = sample()
            if made != options.batch_size:
                raise RuntimeError(f"{name} made {made} of {options.batch_size} clips")
            if turn:
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["generate"], strict=True)]
    found = {
        "seconds": medians,
        "speedup": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "clips": options.batch_size,
        "threads": torch.get_num_threads(),
        "model": str(Path(options.generator)),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    run(main, SamplingSpeed)
