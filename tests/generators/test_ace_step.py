"""ACE-Step: what diffusers' own pipeline makes of the same noise, and what lyrics and reference change."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from generators.ace_step.conditioning import excerpts
from generators.diffusion.sampling import GaussianNoise
from generators.filling import refuse_unsupported
from generators.protocol import Job
from generators.registry import load_generator
from music.clips import read_clip
from music.errors import InputError
from music.prompts import Prompt
from tests.generators.noise_file import write_noise
from tests.generators.test_contract import assert_same, make

SECONDS = 1.1
LYRICS = "[verse]\nrain on the roof"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("references") / "noise.wav", 1, rate=2_000)


def load(folder: Path, **options):
    return load_generator(folder, device="cpu", **{"steps": 3, "batch_size": 2, **options})


@pytest.mark.parametrize(("guidance", "with_reference"), [(1.0, True), (4.0, False), (7.0, True)])
def test_latents_equal_those_of_the_pipeline(
    ace_step_folder: Path,
    reference: Path,
    guidance: float,
    with_reference: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    from diffusers import AceStepPipeline
    from diffusers.models.autoencoders.autoencoder_oobleck import OobleckDiagonalGaussianDistribution

    # the pipeline draws the latents of a reference, we take their mean
    monkeypatch.setattr(OobleckDiagonalGaussianDistribution, "sample", lambda self, *_: self.mode())
    pipeline = AceStepPipeline.from_pretrained(ace_step_folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    prompts = [
        Prompt("a", "sad piano", LYRICS, reference if with_reference else None),
        Prompt("b", "slow jazz, brushes", "", reference if with_reference else None),
    ]
    generator = load(ace_step_folder, steps=6, guidance=guidance)
    jobs = [Job(prompt, 0, 2**40 + index) for index, prompt in enumerate(prompts)]
    samples = make_at(generator, jobs, SECONDS)
    for job in jobs:
        noise = GaussianNoise([job.seed], (6, 18), slots=1).draw()
        expected = pipeline(
            job.prompt.text,
            lyrics=job.prompt.lyrics,
            audio_duration=SECONDS,
            num_inference_steps=6,
            guidance_scale=guidance,
            latents=noise.transpose(1, 2),
            reference_audio=read_clip(reference).waveform if with_reference else None,
            output_type="latent",
        ).audios
        torch.testing.assert_close(samples[job.prompt.id].tokens, expected[0].T, atol=1e-4, rtol=1e-4)


def make_at(generator, jobs, seconds: float) -> dict:
    return {sample.job.prompt.id: sample for sample in generator.generate(jobs, seconds)}


def test_text_lyrics_and_reference_all_count(ace_step_folder: Path, reference: Path, tmp_path: Path):
    generator = load(ace_step_folder)
    assert generator.accepts == {"text", "lyrics", "reference"}
    assert (generator.sample_rate, generator.channels) == (2_000, 2)
    prompts = [
        Prompt("bare", "sad piano"),
        Prompt("text", "slow jazz"),
        Prompt("sung", "sad piano", LYRICS),
        Prompt("like", "sad piano", "", reference),
        Prompt("other", "sad piano", "", write_noise(tmp_path / "other.wav", 2, rate=2_000)),
        Prompt("mono", "sad piano", "", write_noise(tmp_path / "mono.wav", 3, rate=3_000, channels=1)),
        Prompt("all", "sad piano", LYRICS, reference),
    ]
    refuse_unsupported(generator, prompts)
    jobs = [Job(prompt, 0, 7) for prompt in prompts]
    made = make(generator, jobs)
    assert len({sample.tokens.numpy().tobytes() for sample in made.values()}) == len(prompts)
    assert_same(make(generator, jobs[::-1]), made)
    assert_same(make(generator, jobs[-1:]), made)


def test_a_reference_that_changed_under_its_name_is_read_again(ace_step_folder: Path, tmp_path: Path):
    generator, path = load(ace_step_folder, batch_size=1), tmp_path / "reference.wav"
    jobs = [Job(Prompt("a", "sad piano", "", write_noise(path, 1, rate=2_000)), 0, 7)]
    first = make(generator, jobs)["a", 0].tokens
    write_noise(path, 2, rate=2_000, seconds=1.5)
    assert not torch.equal(make(generator, jobs)["a", 0].tokens, first)


def test_excerpts_are_beginning_middle_and_end():
    counted = torch.arange(90.0)[None]
    assert excerpts(counted, 10)[0].tolist() == [*range(10), *range(30, 40), *range(80, 90)]
    assert excerpts(counted[:, :30], 10)[0].tolist() == list(range(30))
    assert excerpts(counted[:, :4], 2)[0].tolist() == [0, 1, 2, 3, 2, 3]  # of 0 1 2 3 0 1 2 3


def test_a_distilled_model_has_no_guidance_and_none_has_a_negative_prompt(
    ace_step_folder: Path, tmp_path: Path
):
    assert load(ace_step_folder).spec["guidance"] == 7.0
    with pytest.raises(InputError, match="has no negative prompt"):
        load(ace_step_folder, negative_prompt="noise")
    turbo = Path(shutil.copytree(ace_step_folder, tmp_path / "turbo"))
    config = turbo / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "is_turbo": True}))
    generator = load_generator(turbo, device="cpu")
    assert (generator.spec["guidance"], generator.spec["steps"]) == (1.0, 8)
    with pytest.raises(InputError, match="has its guidance in its weights"):
        load(turbo, guidance=3.0)


def test_lyrics_that_are_too_long_are_refused_before_anything_is_made(ace_step_folder: Path):
    job = Job(Prompt("epic", "opera", "a" * 2_100), 0, 1)
    with pytest.raises(InputError, match=r"prompt 'epic': its lyrics have 21\d\d tokens.* at most 2048"):
        load(ace_step_folder).generate([job], SECONDS)
