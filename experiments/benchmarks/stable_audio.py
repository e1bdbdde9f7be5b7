"""Clips per second of Stable Audio Open at its true size: ours, a plain batch, and one call of the pipeline a clip.

    python -m experiments.benchmarks.stable_audio                    # 2 clips of 10 s, 2 of the 100 steps: minutes
    python -m experiments.benchmarks.stable_audio --device cuda --candidates 10 --sampling_steps 100 --turns 3

The weights are random, and as fast as the true ones: nothing is downloaded. Every way denoises latents of the model's
full length, 47.6 s, as it was trained; ours then decodes only what is asked for. The ways take turns in alternating
order; ratios are taken within a turn. Every step costs the same, and is compared with the time of its arithmetic at the
speed of the machine's best product of matrices.
"""

import dataclasses
import itertools
import json
import statistics
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from experiments.benchmarks.machine_limits import count_flop, matmul_rate
from experiments.benchmarks.random_models import STABLE_AUDIOS, TEXT, random_stable_audio
from experiments.benchmarks.timing import Timing, Way, over_turns, ratios, timed
from generators.diffusion.sampling import DiffusionOptions
from generators.protocol import Job
from generators.stable_audio.diffusers.generator import StableAudio
from generators.stable_audio.diffusers.loading import StableAudioParts
from music.command import refuse_below_one, run
from music.errors import InputError
from music.prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class StableAudioSpeed(Timing):
    """Time our Stable Audio against the pipeline of diffusers, and against what the machine can do.

    Parameters
    ----------
    size
        Size of the model: stable-audio-open-1.0 or stable-audio-tiny.
    candidates
        Number of clips of the one prompt.
    seconds
        Length of each clip, s.
    sampling_steps
        Denoising steps; the published number is 100.
    guidance
        Scale of classifier-free guidance; 1 is without.
    """

    RENAMED: ClassVar = {"steps": "sampling_steps"}

    size: str = "stable-audio-open-1.0"
    candidates: int = 2
    seconds: float = 10.0
    sampling_steps: int = 2
    guidance: float = 7.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "candidates", "sampling_steps")
        if self.size not in STABLE_AUDIOS:
            raise InputError(f"--size must be one of {', '.join(STABLE_AUDIOS)}, got {self.size!r}")


def ways_of(parts: StableAudioParts, options: StableAudioSpeed) -> list[Way]:
    """Return ours, batch and loop."""
    from diffusers import StableAudioPipeline

    sampling = DiffusionOptions(options.sampling_steps, options.guidance)
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
            num_inference_steps=options.sampling_steps,
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
    with torch.device("meta"), torch.no_grad():
        transformer: Any = type(parts.transformer).from_config(parts.transformer.config)
        config, rows = transformer.config, 2 if guided else 1
        rotary = [torch.empty(config.sample_size + 1, config.attention_head_dim // 2) for _ in range(2)]
        inputs = (
            torch.empty(rows, config.in_channels, config.sample_size),
            torch.empty(1),
            torch.empty(rows, parts.tokenizer.model_max_length + 2, config.cross_attention_input_dim),
            torch.empty(rows, 1, config.global_states_input_dim),
        )
        return count_flop(lambda: transformer(*inputs, rotary_embedding=tuple(rotary)))


def main(options: StableAudioSpeed) -> None:
    """Time all ways in turns and print the report as JSON."""
    device = options.start()
    parts = random_stable_audio(STABLE_AUDIOS[options.size])
    modules = (parts.vae, parts.text_encoder, parts.projection_model, parts.transformer)
    for module in modules:
        module.to(device)
    clip: dict[str, list[float]] = {"ours": [], "batch": [], "loop": []}
    rates = []
    # on a CPU it takes minutes and changes little
    warm_up = options.seconds if device.type == "cuda" else None
    for way, took in timed(ways_of(parts, options), options.turns, options.seconds, warm_up):
        clip[way.name].append(took / way.clips)
        if way.name == "ours":
            rates.append(matmul_rate(torch.float32, device, options.matmul))
    rate, flop = statistics.median(rates), step_flop(parts, options.guidance > 1)
    found = {
        "options": dataclasses.asdict(options),
        "threads": torch.get_num_threads(),
        "parameters": sum(one.numel() for module in modules for one in module.parameters()),
        "clips_per_second": {name: over_turns([1 / each for each in taken]) for name, taken in clip.items()},
        "ours_over_loop": ratios(clip["loop"], clip["ours"]),
        "ours_over_batch": ratios(clip["batch"], clip["ours"]),
        "step": {
            "gflop_a_clip": round(flop / 1e9, 3),
            "machine_gflop_per_s": round(rate / 1e9, 1),
            "arithmetic_seconds_a_clip": float(f"{flop / rate:.4g}"),
            # text, seconds and decoding count too: with few steps this share is a little too low
            "reached": over_turns([options.sampling_steps * flop / rate / each for each in clip["ours"]]),
        },
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    run(main, StableAudioSpeed)
