"""Our sampling loop writes the codes that transformers' own greedy `generate` writes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.incremental_decoder import IncrementalDecoder
from generators.musicgen.loading import load_model
from generators.musicgen.sampling import write_codes
from tests.generators.conftest import PROMPTS

FRAMES = 24


def greedy_of_transformers(
    model: Any, monkeypatch: pytest.MonkeyPatch, guidance: float, steps: int, **inputs: Any
) -> torch.Tensor:
    """Return the codes that `generate` writes, `[B, codebooks, frames]`, caught on their way into the codec."""
    caught: list[torch.Tensor] = []
    decode = model.audio_encoder.decode

    def spy(codes, *args, **kwargs):
        caught.append(codes[0].clone())
        return decode(codes, *args, **kwargs)

    monkeypatch.setattr(model.audio_encoder, "decode", spy)
    model.generate(**inputs, do_sample=False, guidance_scale=guidance, max_new_tokens=steps)
    assert len(caught) == model.config.decoder.audio_channels
    found = torch.stack(caught, dim=2).flatten(1, 2)
    assert len(found.unique()) > 5  # a model that says something
    return found


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_greedy_codes_equal_those_of_transformers(
    folder: Path, guidance: float, monkeypatch: pytest.MonkeyPatch
):
    model, tokenizer = load_model(folder, torch.device("cpu"), torch.float32)
    decoder = model.config.decoder
    pattern = DelayPattern(decoder.num_codebooks, decoder.audio_channels, FRAMES)
    inputs = tokenizer([prompt.text for prompt in PROMPTS], padding=True, return_tensors="pt")
    expected = greedy_of_transformers(model, monkeypatch, guidance, pattern.steps, **inputs)
    text = TextConditioner(model, tokenizer).batch(PROMPTS, length=80)
    reader = IncrementalDecoder(model.decoder, text, pattern.steps, guidance)
    found = pattern.align(write_codes(reader, pattern, lambda logits: logits.argmax(-1)))
    assert torch.equal(found, expected)


def test_logits_equal_those_of_the_whole_sequence_at_once(mono_folder: Path):
    model, tokenizer = load_model(mono_folder, torch.device("cpu"), torch.float32)
    texts = TextConditioner(model, tokenizer)
    pattern = DelayPattern(4, 1, 12)
    seen: list[torch.Tensor] = []

    def choose(logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits)
        return logits.argmax(-1)

    reader = IncrementalDecoder(model.decoder, texts.batch(PROMPTS[:1], 16), pattern.steps, 1.0)
    codes = pattern.align(write_codes(reader, pattern, choose))
    delayed = pattern.delay(codes, special=64).transpose(1, 2)
    inputs = torch.cat([torch.full((1, 4, 1), 64), delayed[:, :, :-1]], dim=2)
    ids = tokenizer(PROMPTS[0].text, return_tensors="pt")
    with torch.no_grad():
        logits = model(**ids, decoder_input_ids=inputs[0]).logits  # [codebooks, steps, vocabulary]
    torch.testing.assert_close(torch.stack(seen)[:, 0].transpose(0, 1), logits, atol=1e-4, rtol=1e-4)
