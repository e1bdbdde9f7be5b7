"""The lab's Stable Audio: trained tiny, it resumes to the bit and ends in a folder that generates."""

import contextlib
import dataclasses
import math
import shutil

import pytest
import torch

from experiments.lab import vae_check
from experiments.lab.training import musicgen as train_musicgen
from experiments.lab.training import stable_audio as train_stable_audio
from experiments.lab.training import vae as train_vae
from experiments.lab.training.dit_start import DitShape, build_dit
from experiments.lab.training.loop import Schedule
from experiments.lab.training.vae_start import VaeShape
from experiments.lab.world import vocabulary
from generators import load_generator
from generators.protocol import Job
from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.denoiser import Denoiser
from music.errors import InputError
from music.prompts import Prompt
from music.shipped_files import asset

pytest.importorskip("torchsde")

TINY = Schedule(steps=2, batch_size=2, check_every=1)
ROUNDS = (TINY, dataclasses.replace(TINY, seed=1))
VAE_SHAPE = VaeShape(latent=12, envelopes=2, bands=8, stride=40, decoder=12)
SHAPE = DitShape(layers=1, heads=2, head_size=16)
WEIGHTS = "diffusion_pytorch_model.safetensors"


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def few_songs():
    with pytest.MonkeyPatch.context() as patch:
        for module in (train_musicgen, train_vae, train_stable_audio):
            patch.setattr(module, "SONGS", {"train": 3, "validation": 2})
        patch.setattr(vocabulary, "SONGS", 60)
        yield


@contextlib.contextmanager
def killed_at_second_call(module, name: str):
    """Let the second call of a function of a module end what runs in the block."""
    original, calls = getattr(module, name), []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise StoppedError
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, stopping)
        with pytest.raises(StoppedError):
            yield


@pytest.fixture(scope="module")
def vae_folder(few_songs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    train_vae.train_vae(folder / "finished", folder, VAE_SHAPE, TINY)
    return folder / "finished"


@pytest.fixture(scope="module")
def trained(vae_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stable_audio")
    train_stable_audio.train_stable_audio(folder / "model", folder / "work", vae_folder, SHAPE, ROUNDS, TINY)
    return folder / "model"


def test_a_killed_training_of_the_autoencoder_ends_with_the_same_weights(vae_folder, tmp_path):
    with killed_at_second_call(train_vae, "total"):
        train_vae.train_vae(tmp_path / "finished", tmp_path, VAE_SHAPE, TINY)
    assert not (tmp_path / "finished").exists()
    train_vae.train_vae(tmp_path / "finished", tmp_path, VAE_SHAPE, TINY)
    assert (tmp_path / "finished" / WEIGHTS).read_bytes() == (vae_folder / WEIGHTS).read_bytes()


def test_a_killed_training_of_the_denoiser_ends_with_the_same_weights(trained, vae_folder, tmp_path):
    arguments = (tmp_path / "model", tmp_path / "work", vae_folder, SHAPE, ROUNDS, TINY)
    # two trainings of a tokenizer may number words otherwise
    shutil.copytree(trained.parent / "work" / "tokenizer", tmp_path / "work" / "tokenizer")
    with killed_at_second_call(train_stable_audio, "draw_sigmas"):
        train_stable_audio.train_stable_audio(*arguments)
    assert not (tmp_path / "model").exists()
    train_stable_audio.train_stable_audio(*arguments)
    for file in (f"transformer/{WEIGHTS}", f"projection_model/{WEIGHTS}", "text_encoder/model.safetensors"):
        assert (tmp_path / "model" / file).read_bytes() == (trained / file).read_bytes()


def test_the_folder_generates(trained):
    assert str(trained.parent) not in "".join(path.read_text() for path in trained.rglob("*.json"))
    generator = load_generator(trained, device="cpu", steps=3, batch_size=2)
    assert (generator.sample_rate, generator.channels, generator.max_seconds) == (16_000, 1, 5.0)
    jobs = [Job(Prompt(text, text), 0, 7) for text in ("a slow piano", "a fast flute with drums")]
    samples = list(generator.generate(jobs, 1.5))
    assert [sample.clip.samples for sample in samples] == [24_000, 24_000]
    assert [sample.tokens.shape for sample in samples] == [(12, 250), (12, 250)]
    assert not torch.equal(samples[0].tokens, samples[1].tokens)
    assert all(sample.clip.waveform.isfinite().all() for sample in samples)
    with pytest.raises(InputError, match="at most 96"):
        list(generator.generate([Job(Prompt("long", 80 * "piano "), 0, 7)], 1.5))


def test_diffusers_itself_loads_the_folder(trained):
    from diffusers import StableAudioPipeline

    pipeline = StableAudioPipeline.from_pretrained(trained, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    audio = pipeline("a slow piano", num_inference_steps=2, audio_end_in_s=1.0).audios
    assert audio.shape == (1, 1, 16_000)


def test_work_of_another_autoencoder_is_refused(trained, vae_folder, tmp_path):
    from diffusers import AutoencoderOobleck

    other = AutoencoderOobleck.from_pretrained(vae_folder)
    other.decoder.conv2.weight_g.data *= 2
    other.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="another vae: delete it"):
        train_stable_audio.train_stable_audio(
            tmp_path / "model", trained.parent / "work", tmp_path, SHAPE, ROUNDS, TINY
        )


def test_gold_hears_what_the_autoencoder_decodes(vae_folder, tmp_path, capsys):
    output = tmp_path / "check.json"
    vae_check.main(vae_check.VaeCheck(songs=2, suite=asset("lab"), vae=vae_folder, output=output))
    assert output.exists()
    heard = capsys.readouterr().out
    for sound in ("songs ", "decoded ", "decoded, noisy "):
        assert f"\n{sound}" in heard


@pytest.fixture
def model():
    torch.manual_seed(0)
    transformer = build_dit(SHAPE, channels=6, frames=20, condition=train_stable_audio.TEXT_WIDTH)
    return train_stable_audio.StableAudioParts(transformer, 64).eval()


class Characters:
    """A tokenizer of letters that pads as real ones do."""

    model_max_length = train_stable_audio.MAX_TEXT

    def __call__(self, text, padding, max_length, return_tensors):
        ids = torch.zeros(1, max_length, dtype=torch.long)
        ids[0, : len(text)] = torch.tensor([ord(letter) % 64 for letter in text])
        return {"input_ids": ids, "attention_mask": (torch.arange(max_length) < len(text)).long()[None]}


@torch.no_grad()
def test_training_conditions_are_those_of_sampling_hidden_ones_the_unguided(model):
    conditioner = StableAudioConditioner(Characters(), model.text_encoder, model.projection)
    texts = ["short", "somewhat longer"]
    expected = conditioner.batch(texts, 3.0, "", guided=True)
    batch = [Characters()(text, "max_length", 16, "pt") for text in texts]
    ids, mask = (torch.cat([one[key] for one in batch]) for key in ("input_ids", "attention_mask"))
    for rows, hidden in ((slice(0, 2), [True, True]), (slice(2, 4), [False, False])):
        found = model.conditions(ids, mask, torch.tensor([3.0, 3.0]), torch.tensor(hidden))
        torch.testing.assert_close(found.attended, expected.attended[rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.prepended, expected.prepended[rows], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_training_shows_the_transformer_what_the_sampler_shows_it(model):
    torch.nn.init.normal_(model.transformer.proj_out.weight)
    ids, mask = torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.long)
    conditions = model.conditions(ids, mask, torch.tensor([2.0]), torch.tensor([False]))
    noisy, sigma = torch.randn(1, 6, 20), torch.tensor([4.0])
    denoiser = Denoiser(model.transformer, conditions, 1.0, 20)
    expected = denoiser.predict(noisy, 2 / math.pi * sigma.atan()[0])
    torch.testing.assert_close(model.predict(noisy, sigma, conditions), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model.predict(noisy, 9 * sigma, conditions), expected, atol=1e-3)


@torch.no_grad()
def test_the_untrained_transformer_says_nothing_and_looks_at_the_noise_level():
    torch.manual_seed(0)
    shape = DitShape(layers=2, heads=5, head_size=32)
    transformer = build_dit(shape, channels=48, frames=250, condition=128)
    model = train_stable_audio.StableAudioParts(transformer, 64).eval()
    seen = []
    for block in transformer.transformer_blocks:
        block.norm1.register_forward_hook(lambda *call: seen.append(call[-1]))
    ids, mask = torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.long)
    conditions = model.conditions(ids, mask, torch.tensor([5.0]), torch.tensor([False]))
    found = model.predict(torch.randn(1, 48, 250), torch.tensor([1.0]), conditions)
    assert not found.any()
    for block, states in zip(transformer.transformer_blocks, seen, strict=True):
        query, key = (
            linear(states).view(251, 5, 32)[..., 16:].transpose(0, 1)
            for linear in (block.attn1.to_q, block.attn1.to_k)
        )
        attention = (query @ key.transpose(1, 2) / 32**0.5).softmax(-1)[:, 1:, 0].mean(1)
        assert attention[0] > 0.2
        assert attention[1:].max() < 0.05


def test_songs_that_end_early_are_followed_by_silence():
    latents, silence = torch.randn(2, 3, 50), torch.zeros(3, 50)
    found = train_stable_audio.end_early(latents, silence, torch.tensor([5.0, 2.0]))
    assert torch.equal(found[0], latents[0])
    assert torch.equal(found[1, :, :20], latents[1, :, :20])
    assert not found[1, :, 20:].any()
