"""Our denoising loop makes what diffusers' own pipeline makes of the same noise."""

from pathlib import Path

import pytest
import torch

from generators.diffusion.sampling import GaussianNoise
from generators.protocol import Job
from generators.registry import load_generator
from tests.generators.conftest import PROMPTS

SEEDS = (3, 2**40 + 3, 5)
SECONDS = 0.7


@pytest.fixture(scope="module")
def pipeline(stable_audio_folder: Path):
    from diffusers import StableAudioPipeline

    pipeline = StableAudioPipeline.from_pretrained(stable_audio_folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def of_diffusers(pipeline, monkeypatch: pytest.MonkeyPatch, **options) -> torch.Tensor:
    """Run the pipeline on all prompts, with our noise instead of its own."""
    config = pipeline.transformer.config
    noise = GaussianNoise(SEEDS, (config.in_channels, config.sample_size), slots=len(SEEDS))
    latents = noise.draw().clone()
    module = "diffusers.schedulers.scheduling_cosine_dpmsolver_multistep"
    monkeypatch.setattr(f"{module}.BrownianTreeNoiseSampler", lambda *_, **__: lambda *_: noise.draw())
    texts = [prompt.text for prompt in PROMPTS]
    return pipeline(texts, audio_end_in_s=SECONDS, latents=latents, **options).audios


@pytest.mark.parametrize(
    ("steps", "guidance", "negative"),
    [(5, 1.0, ""), (20, 1.0, ""), (20, 7.0, ""), (20, 7.0, "low quality"), (5, 7.0, "low quality")],
)
def test_latents_and_audio_equal_those_of_the_pipeline(
    pipeline,
    stable_audio_folder: Path,
    steps: int,
    guidance: float,
    negative: str,
    monkeypatch: pytest.MonkeyPatch,
):
    options = {"num_inference_steps": steps, "guidance_scale": guidance}
    if negative:
        options["negative_prompt"] = [negative] * len(PROMPTS)
    latents = of_diffusers(pipeline, monkeypatch, output_type="latent", **options)
    audio = of_diffusers(pipeline, monkeypatch, **options)
    generator = load_generator(
        stable_audio_folder,
        device="cpu",
        steps=steps,
        guidance=guidance,
        negative_prompt=negative,
        batch_size=2,
    )
    jobs = [Job(prompt, 0, seed) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    samples = {sample.job.prompt.id: sample for sample in generator.generate(jobs, SECONDS)}
    for prompt, expected, heard in zip(PROMPTS, latents, audio, strict=True):
        sample = samples[prompt.id]
        torch.testing.assert_close(sample.tokens, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(sample.clip.waveform, heard, atol=1e-5, rtol=1e-5)
