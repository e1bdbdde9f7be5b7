"""Our loop over stable-audio-tools makes what its own `generate_diffusion_cond` makes of the same noise."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from generators.diffusion.sampling import GaussianNoise
from generators.protocol import Job
from generators.registry import load_generator
from generators.stable_audio.tools.library import import_stability
from tests.generators.conftest import PROMPTS

SEEDS = (3, 2**40 + 3, 5)
SECONDS = 0.7


def of_the_library(generator, monkeypatch: pytest.MonkeyPatch, decoded: bool, **sampler: Any) -> torch.Tensor:
    """Return latents, or audio, of the library's own function for all prompts, with our noise for its own."""
    library = importlib.import_module("stable_audio_tools.inference.generation")
    noise = GaussianNoise(SEEDS, generator._shape, slots=len(SEEDS))

    def draw(*args: Any, **kwargs: Any) -> torch.Tensor:
        return noise.draw().clone()

    options, about = generator.options, {"seconds_start": 0, "seconds_total": SECONDS}
    negative = [{"prompt": options.negative_prompt, **about}] * len(SEEDS)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", draw)
        patch.setattr(torch, "randn_like", draw)
        patch.setattr(import_stability().samplers, "BrownianTreeNoiseSampler", lambda *_: draw)
        return library.generate_diffusion_cond(
            generator._model,
            steps=options.steps,
            cfg_scale=options.guidance,
            conditioning=[{"prompt": prompt.text, **about} for prompt in PROMPTS],
            negative_conditioning=negative if options.negative_prompt else None,
            batch_size=len(SEEDS),
            sample_size=generator._model.pretransform.downsampling_ratio * generator._shape[1],
            seed=1,
            device="cpu",
            return_latents=not decoded,
            **sampler,
        ).detach()


@pytest.mark.parametrize(
    ("name", "steps", "guidance", "negative"),
    [
        ("stability", 8, 1.0, ""),
        ("stability", 3, 4.0, "low quality"),
        ("velocity_stability", 20, 7.0, ""),
        ("velocity_stability", 5, 7.0, "low quality"),
    ],
)
def test_latents_and_audio_equal_those_of_the_library(
    name: str,
    steps: int,
    guidance: float,
    negative: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
):
    folder: Path = request.getfixturevalue(f"{name}_folder")
    options = {"steps": steps, "guidance": guidance, "negative_prompt": negative, "batch_size": 2}
    generator = load_generator(folder, device="cpu", **options)
    sampler: dict[str, Any] = {"sampler_type": "pingpong"}
    if name == "velocity_stability":
        sampler = {"sampler_type": "dpmpp-3m-sde", "sigma_min": 0.3, "sigma_max": 500}
    latents, audio = (of_the_library(generator, monkeypatch, decoded, **sampler) for decoded in (False, True))
    jobs = [Job(prompt, 0, seed) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    samples = {sample.job.prompt.id: sample for sample in generator.generate(jobs, SECONDS)}
    for prompt, expected, heard in zip(PROMPTS, latents, audio, strict=True):
        sample = samples[prompt.id]
        torch.testing.assert_close(sample.tokens, expected, atol=1e-5, rtol=1e-5)
        beginning = heard[:, : sample.clip.samples]
        torch.testing.assert_close(sample.clip.waveform, beginning, atol=1e-5, rtol=1e-5)


def test_noise_of_every_step_is_the_candidates_own(stability_folder: Path):
    """Two candidates that share the seed of the start alone would differ: the library renoises at each step."""
    generator = load_generator(stability_folder, device="cpu", batch_size=2, steps=4)
    drawn = []
    draw = GaussianNoise.draw

    def spy(noise: GaussianNoise) -> torch.Tensor:
        drawn.append(draw(noise).clone())
        return drawn[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaussianNoise, "draw", spy)
        list(generator.generate([Job(PROMPTS[0], 0, 3), Job(PROMPTS[1], 0, 4)], 0.5))
    assert len(drawn) == 4  # the start, and once between each two steps
    assert not any(torch.equal(step[0], step[1]) for step in drawn)
