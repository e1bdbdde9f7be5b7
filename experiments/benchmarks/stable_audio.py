"""Clips per second of Stable Audio Open at its true size: ours, a plain batch, and one call of the pipeline a clip.

    python -m experiments.benchmarks.stable_audio                    # 2 clips of 10 s, 2 of the 100 steps: minutes
    python -m experiments.benchmarks.stable_audio --device cuda --candidates 10 --steps 100 --turns 3

The weights are random, and as fast as the true ones: nothing is downloaded. Every way denoises latents of the model's
full length, 47.6 s, as it was trained; ours then decodes only what is asked for. The ways take turns in alternating
order; ratios are of one turn. Every step costs the same, and is compared with what its arithmetic would take at the
speed of the machine's best product of matrices.
"""

import dataclasses
import itertools
import json
import statistics
from dataclasses import dataclass
from typing import Any

import torch

from experiments.benchmarks.generation import Way, timed
from experiments.benchmarks.generation_report import ratios, spread
from experiments.benchmarks.machine_limits import matmul_rate
from experiments.benchmarks.random_musicgen import TEXT
from experiments.benchmarks.random_stable_audio import SIZES, random_stable_audio
from generators.diffusion.sampling import DiffusionOptions
from generators.protocol import Job
from generators.stable_audio.diffusers.generator import StableAudio
from generators.stable_audio.diffusers.loading import StableAudioParts
from music.command import refuse_below_one, run
from music.devices import find_device
from music.errors import InputError
from music.prompts import Prompt


@dataclass(frozen=True)
class StableAudioSpeed:
    """Time our Stable Audio against the pipeline of diffusers, and against what the machine can do.

    Parameters
    ----------
    size
        stable-audio-open-1.0 or stable-audio-tiny.
    candidates
        Clips of the one prompt.
    seconds
        Length of each clip, s.
    steps
        Of denoising; published is 100.
    guidance
        Scale of classifier-free guidance; 1 is without.
    turns
        How often each way is timed.
    threads
        Of the CPU; left out, as many as torch takes.
    device
        auto, cpu or cuda.
    matmul
        Rows and columns of the matrices whose product tells what arithmetic the machine can do.
    """

    size: str = "stable-audio-open-1.0"
    candidates: int = 2
    seconds: float = 10.0
    steps: int = 2
    guidance: float = 7.0
    turns: int = 1
    threads: int | None = None
    device: str = "cpu"
    matmul: int = 2048

    def __post_init__(self) -> None:
        """Refuse numbers out of range and unknown sizes."""
        refuse_below_one(self, "candidates", "steps", "turns", "threads", "matmul")
        if self.size not in SIZES:
            raise InputError(f"--size must be one of {', '.join(SIZES)}, got {self.size!r}")


def ways_of(parts: StableAudioParts, options: StableAudioSpeed) -> list[Way]:
    """Return ours, batch and loop."""
    from diffusers import StableAudioPipeline

    sampling = DiffusionOptions(options.steps, options.guidance)
    generator = StableAudio("benchmark", parts, "random", sampling, options.candidates)
    pipeline: Any = StableAudioPipeline(**vars(parts))
    pipeline.set_progress_bar_config(disable=True)
    takes = itertools.count()

    def ours(seconds: float) -> int:
        # another text each time, so that none is remembered
        prompt = Prompt("speed", f"{TEXT}, take {next(takes)}")
        return len(list(generator.generate([Job(prompt, i, i) for i in range(options.candidates)], seconds)))

    def plain(count: int, seconds: float) -> int:
        found: Any = pipeline(
            TEXT,
            audio_end_in_s=seconds,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            num_waveforms_per_prompt=count,
        )
        return len(found.audios.cpu())

    return [
        Way("ours", "float32", options.candidates, ours),
        Way("batch", "float32", options.candidates, lambda seconds: plain(options.candidates, seconds)),
        Way("loop", "float32", 1, lambda seconds: plain(1, seconds)),
    ]


def step_flop(parts: StableAudioParts, guided: bool) -> float:
    """Return the arithmetic of one step of one clip, counted on the transformer without its weights."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        transformer: Any = type(parts.transformer).from_config(parts.transformer.config)
        config, rows = transformer.config, 2 if guided else 1
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            transformer(
                torch.empty(rows, config.in_channels, config.sample_size),
                torch.empty(1),
                torch.empty(rows, parts.tokenizer.model_max_length + 2, config.cross_attention_input_dim),
                torch.empty(rows, 1, config.global_states_input_dim),
                rotary_embedding=tuple(
                    torch.empty(config.sample_size + 1, config.attention_head_dim // 2) for _ in range(2)
                ),
            )
    return float(counter.get_total_flops())


def main(options: StableAudioSpeed) -> None:
    """Time all ways in turns and print the report as JSON."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = find_device(options.device)
    parts = random_stable_audio(SIZES[options.size])
    for part in (parts.vae, parts.text_encoder, parts.projection_model, parts.transformer):
        part.to(device)
    clip: dict[str, list[float]] = {"ours": [], "batch": [], "loop": []}
    rates = []
    warm_up = (
        options.seconds if device.type == "cuda" else None
    )  # on a CPU it takes minutes and changes little
    for way, took in timed(ways_of(parts, options), options.turns, options.seconds, warm_up):
        clip[way.name].append(took / way.clips)
        if way.name == "ours":
            rates.append(matmul_rate(torch.float32, device, options.matmul))
    rate, flop = statistics.median(rates), step_flop(parts, options.guidance > 1)
    found = {
        "options": dataclasses.asdict(options),
        "threads": torch.get_num_threads(),
        "parameters": sum(
            parameter.numel()
            for part in (parts.vae, parts.text_encoder, parts.projection_model, parts.transformer)
            for parameter in part.parameters()
        ),
        "clips_per_second": {name: spread([1 / each for each in taken]) for name, taken in clip.items()},
        "ours_over_loop": ratios(clip["loop"], clip["ours"]),
        "ours_over_batch": ratios(clip["batch"], clip["ours"]),
        "step": {
            "gflop_a_clip": round(flop / 1e9, 3),
            "machine_gflop_per_s": round(rate / 1e9, 1),
            "arithmetic_seconds_a_clip": float(f"{flop / rate:.4g}"),
            # text, seconds and decoding count too: with few steps this share is a little too low
            "reached": spread([options.steps * flop / rate / each for each in clip["ours"]]),
        },
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    run(main, StableAudioSpeed)
