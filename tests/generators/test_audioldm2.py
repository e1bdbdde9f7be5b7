"""AudioLDM 2: what diffusers' own pipeline makes of the same noise, prompt by prompt."""

from pathlib import Path

import pytest
import torch

from generators.diffusion.sampling import GaussianNoise
from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS

SECONDS = 0.6


@pytest.mark.parametrize(("guidance", "negative"), [(1.0, ""), (3.5, ""), (3.5, "noise")])
def test_latents_and_audio_equal_those_of_the_pipeline(
    audioldm2_folder: Path, guidance: float, negative: str
):
    from diffusers import AudioLDM2Pipeline

    pipeline = AudioLDM2Pipeline.from_pretrained(audioldm2_folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    generator = load_generator(
        audioldm2_folder, device="cpu", steps=4, guidance=guidance, negative_prompt=negative, batch_size=2
    )
    jobs = [Job(prompt, 0, 2**40 + index) for index, prompt in enumerate(PROMPTS)]
    samples = {sample.job.prompt.id: sample for sample in generator.generate(jobs, SECONDS)}
    for job in jobs:
        options = {
            "audio_length_in_s": SECONDS,
            "num_inference_steps": 4,
            "guidance_scale": guidance,
            "negative_prompt": negative or None,
            "latents": GaussianNoise([job.seed], (4, 38, 4), slots=1).draw(),
        }
        latents = pipeline(job.prompt.text, output_type="latent", **options).audios[0]
        torch.testing.assert_close(samples[job.prompt.id].tokens, latents, atol=1e-4, rtol=1e-4)
        audio = pipeline(job.prompt.text, output_type="pt", **options).audios
        torch.testing.assert_close(samples[job.prompt.id].clip.waveform, audio, atol=1e-4, rtol=1e-4)


def test_it_is_mono_of_the_length_it_was_trained_on_with_the_defaults_of_the_pipeline(audioldm2_folder: Path):
    generator = load_generator(audioldm2_folder, device="cpu")
    assert (generator.channels, generator.sample_rate, generator.accepts) == (1, 1_000, {"text"})
    assert generator.max_seconds == 256 * 2 * 8 / 1_000
    assert (generator.spec["steps"], generator.spec["guidance"]) == (200, 3.5)


def test_a_negative_prompt_that_is_longer_than_the_prompt_is_not_cut(audioldm2_folder: Path):
    negatives = (
        "loud, harsh and noisy",
        "loud, harsh and dull!",
    )  # they differ beyond the length of the prompt
    made = []
    for negative in negatives:
        generator = load_generator(
            audioldm2_folder, device="cpu", steps=2, batch_size=1, negative_prompt=negative
        )
        (sample,) = generator.generate([Job(Prompt("a", "piano"), 0, 1)], 0.1)
        made.append(sample.tokens)
    assert not torch.equal(*made)


def test_more_steps_than_the_model_knows_noise_levels_are_refused(audioldm2_folder: Path):
    with pytest.raises(InputError, match=r"steps must be below 1000 for .*, got 1000"):
        load_generator(audioldm2_folder, device="cpu", steps=1000)
