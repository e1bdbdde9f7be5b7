"""What comes out of MusicGen: exact lengths, tokens that decode to the same clip, work done once."""

from pathlib import Path

import pytest
import torch

from generators.musicgen.incremental_decoder import IncrementalDecoder
from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from tests.generators.conftest import PROMPTS


@pytest.mark.parametrize("seconds", [0.01, 0.33337, 1.0, 0.7])
def test_tokens_are_the_codes_of_the_frames_that_the_clip_needs(folder: Path, seconds: float):
    generator = load_generator(folder, device="cpu", batch_size=2)
    (sample,) = generator.generate([Job(PROMPTS[1], 0, 3)], seconds)
    samples = round(seconds * generator.sample_rate)
    decoder = generator._model.config.decoder
    hop = 120 if generator.sample_rate == 4_000 else 640
    assert sample.tokens.dtype == torch.int16
    assert sample.tokens.shape == (decoder.num_codebooks, -(-samples // hop))
    assert sample.tokens.min() >= 0
    assert sample.tokens.max() < decoder.vocab_size  # never the special token


def test_left_and_right_are_decoded_from_their_own_codebooks(stereo_folder: Path):
    generator = load_generator(stereo_folder, device="cpu", batch_size=1)
    (sample,) = generator.generate([Job(PROMPTS[0], 0, 3)], 0.5)
    left, right = sample.clip.waveform
    assert not torch.equal(left, right)
    swapped = sample.tokens.view(3, 2, -1).flip(1).reshape(6, -1)
    assert torch.equal(generator.decode_tokens(swapped, 0.5).waveform, torch.stack([right, left]))


def test_the_longest_clip_is_what_the_decoder_has_positions_for(odd_folder: Path):
    generator = load_generator(odd_folder, device="cpu", batch_size=1, guidance=1)
    assert generator.max_seconds == pytest.approx((200 - 4) * 120 / 4000)
    (sample,) = generator.generate([Job(PROMPTS[0], 0, 3)], generator.max_seconds)
    assert sample.tokens.shape == (5, 196)


def test_each_text_is_encoded_once_and_alone(
    mono_folder: Path, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
):
    generator = load_generator(mono_folder, device="cpu", batch_size=4)
    shapes = []
    encode = generator._model.text_encoder.forward

    def spy(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return encode(*args, **kwargs)

    monkeypatch.setattr(generator._model.text_encoder, "forward", spy)
    for _ in range(2):
        assert len(list(generator.generate(jobs, 0.1))) == len(jobs)
    assert sorted(shapes) == sorted((1, len(prompt.text) + 1) for prompt in PROMPTS)


def test_samples_come_as_soon_as_their_batch_is_done(mono_folder: Path, jobs: list[Job]):
    generator = load_generator(mono_folder, device="cpu", batch_size=1)
    calls = []
    norm = generator._model.decoder.model.decoder.layers[0].final_layer_norm
    norm.register_forward_hook(lambda *_: calls.append(1))
    next(generator.generate(jobs, 0.1))
    assert len(calls) == 3 + 3  # three frames at 25 a second, three steps of delay: one batch and no more


def test_without_guidance_the_branch_without_text_is_not_run(mono_folder: Path):
    rows = []
    for guidance in (1.0, 3.0):
        generator = load_generator(mono_folder, device="cpu", batch_size=4, guidance=guidance)
        norm = generator._model.decoder.model.decoder.layers[0].final_layer_norm
        norm.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[0]))
        list(generator.generate([Job(PROMPTS[0], 0, 3)], 0.1))
    assert set(rows[:6]) == {4}
    assert set(rows[6:]) == {8}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(3, 25), "have shape"),
        (torch.zeros(4, 24), "have shape"),
        (torch.full((4, 25), 64), "lie in 0 to 63"),
        (torch.full((4, 25), -1), "lie in 0 to 63"),
    ],
)
def test_foreign_tokens_are_refused(mono, tokens: torch.Tensor, message: str):
    with pytest.raises(InputError, match=message):
        mono.decode_tokens(tokens.to(torch.int16), 1.0)


def test_nan_at_an_early_step_alone_is_found(mono_folder: Path):
    generator = load_generator(mono_folder, device="cpu", batch_size=1)
    calls = []

    def spoil_the_first(module, inputs, output):
        calls.append(1)
        return output * float("nan") if len(calls) == 1 else output

    generator._model.decoder.model.decoder.layer_norm.register_forward_hook(spoil_the_first)
    with pytest.raises(InputError, match="computes NaN"):
        list(generator.generate([Job(PROMPTS[0], 0, 3)], 0.1))
    assert len(list(generator.generate([Job(PROMPTS[0], 0, 3)], 0.1))) == 1


def test_sampled_codes_follow_the_distribution_of_the_logits(mono_folder: Path):
    """The first code of the first codebook, over many seeds, against the softmax of its logits."""
    draws = 5000
    generator = load_generator(mono_folder, device="cpu", batch_size=1, guidance=1, top_k=0)
    model = generator._model.decoder
    begun = generator.begin([Job(PROMPTS[0], seed, seed) for seed in range(draws)], 0.04)  # one frame
    written = generator._advanced(begun, begun[0].steps)  # in one batch
    codes = torch.stack([partial.state["codes"] for partial in written])
    found = torch.bincount(codes[:, 0, 0], minlength=64) / draws

    text = generator._conditioner.batch([PROMPTS[0]], 16)
    logits = IncrementalDecoder(model, text, 1, guidance=1.0).step(torch.full((1, 4), 64))
    expected = logits[0, 0].softmax(-1)
    tolerance = (
        5 * (expected * (1 - expected) / draws).sqrt() + 3 / draws
    )  # rare codes are Poisson, not normal
    assert ((found - expected).abs() <= tolerance).all()
    assert found.max() < 0.5
