"""A tiny MusicGen that learns."""

import pytest

from generators import load_generator
from generators.musicgen.loading import load_model
from music.prompts import Prompt
from rlhf.options import PostTraining
from tests.tiny_musicgen import build_tiny_musicgen
from tests.tiny_stable_audio import build_tiny_stable_audio

PROMPTS = [Prompt(f"p{index}", text) for index, text in enumerate(("slow piano", "a loud drum", "bass", "x"))]
SECONDS = 0.4


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the folder of a model."""
    return build_tiny_musicgen(tmp_path_factory.mktemp("tiny") / "musicgen", codebooks=2)


@pytest.fixture(scope="session")
def tiny_stable_audio(tmp_path_factory):
    """Return the folder of a Stable Audio of 8 s at 1 kHz."""
    pytest.importorskip("diffusers")
    return build_tiny_stable_audio(
        tmp_path_factory.mktemp("tiny") / "stable_audio", channels=1, sample_rate=1_000, frames=16
    )


@pytest.fixture
def options(tiny, tmp_path):
    """Return the options of a training that takes seconds."""
    (tmp_path / "prompts.txt").write_text("piano\ndrums\na slow bass\nx\n")
    return PostTraining(
        generator=str(tiny),
        prompts=str(tmp_path / "prompts.txt"),
        output=tmp_path / "out",
        reward="loudness",
        weights="loudness=1",
        level=None,
        n=4,
        steps=2,
        seconds=0.4,
        limit=4,
        batch_size=4,
        micro_batch_size=4,
        lora_r=2,
        learning_rate=0.01,
        samples=2,
        save_every=1,
        device="cpu",
    )


@pytest.fixture
def sampler(tiny):
    return load_generator(tiny, device="cpu", top_k=0, batch_size=8)


@pytest.fixture
def policy_and_tokenizer(tiny, sampler):
    import torch

    from rlhf.musicgen.policy import MusicgenPolicy

    model, tokenizer = load_model(tiny, torch.device("cpu"), torch.float32)
    return MusicgenPolicy(model, sampler.options.guidance, sampler.options.temperature), tokenizer
