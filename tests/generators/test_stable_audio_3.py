"""Stable Audio 3: what diffusers' own pipeline makes of the same noise, with and without new noise at each step."""

from pathlib import Path

import pytest
import torch

from generators.diffusion.flow_matching import log_snr_levels
from generators.diffusion.sampling import GaussianNoise
from generators.protocol import Job
from generators.registry import load_generator
from tests.generators.conftest import PROMPTS
from tests.tiny_stable_audio_3 import build_tiny_stable_audio_3

SEEDS = (3, 2**40 + 3, 5)
SECONDS = 0.7


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory, stable_audio_3_folder: Path) -> Path:
    return build_tiny_stable_audio_3(tmp_path_factory.mktemp("base"), stochastic=False)


@pytest.mark.parametrize(
    ("kind", "guidance", "negative"),
    [("stable_audio_3", 1.0, ""), ("stable_audio_3", 3.0, "noise"), ("base", 1.0, ""), ("base", 5.0, "")],
)
def test_latents_and_audio_equal_those_of_the_pipeline(
    kind: str, guidance: float, negative: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    folder = request.getfixturevalue(f"{kind}_folder")
    from diffusers import StableAudio3Pipeline

    pipeline = StableAudio3Pipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    noise = GaussianNoise(SEEDS, (6, 44), slots=len(SEEDS))
    latents = noise.draw().clone()
    module = "diffusers.schedulers.scheduling_flow_match_euler_discrete"
    monkeypatch.setattr(f"{module}.randn_tensor", lambda *_, **__: noise.draw())
    expected = pipeline(
        [prompt.text for prompt in PROMPTS],
        duration=SECONDS,
        num_inference_steps=5,
        guidance_scale=guidance,
        negative_prompt=[negative] * len(PROMPTS) if negative else None,
        latents=latents,
        output_type="latent",
    ).audios
    generator = load_generator(
        folder, device="cpu", steps=5, guidance=guidance, negative_prompt=negative, batch_size=2
    )
    jobs = [Job(prompt, 0, seed) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)]
    samples = {sample.job.prompt.id: sample for sample in generator.generate(jobs, SECONDS)}
    for prompt, latent in zip(PROMPTS, expected, strict=True):
        sample = samples[prompt.id]
        torch.testing.assert_close(sample.tokens, latent, atol=1e-4, rtol=1e-4)
        with torch.no_grad():
            heard = pipeline.vae.decode(latent[None]).sample[0, :, :1_400]
        torch.testing.assert_close(sample.clip.waveform, heard, atol=1e-4, rtol=1e-4)


def test_noise_levels_are_those_of_diffusers(stable_audio_3_folder: Path):
    from diffusers.pipelines.stable_audio_3.pipeline_stable_audio_3 import logsnr_sigma_schedule

    for steps in (2, 8, 100):
        assert log_snr_levels(steps, -6.2, 2.0) == pytest.approx(
            logsnr_sigma_schedule(steps, -6.2, 2.0), abs=1e-6
        )


def test_defaults_are_those_of_the_kind_of_model(stable_audio_3_folder: Path, base_folder: Path):
    for folder, steps in ((stable_audio_3_folder, 8), (base_folder, 100)):
        generator = load_generator(folder, device="cpu")
        assert (generator.spec["steps"], generator.spec["guidance"]) == (steps, 1.0)
        assert (generator.accepts, generator.max_seconds, generator.channels) == ({"text"}, 20.0, 2)


def test_the_length_asked_for_is_told_to_the_model(stable_audio_3_folder: Path):
    generator = load_generator(stable_audio_3_folder, device="cpu", steps=2, batch_size=1)
    short, long = (next(generator.generate([Job(PROMPTS[0], 0, 3)], s)).tokens for s in (0.695, 0.7))
    assert short.shape == long.shape == (6, 44)
    assert not torch.equal(short, long)
