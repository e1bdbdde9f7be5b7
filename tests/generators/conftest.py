"""Tiny MusicGen folders, built once a session."""

from pathlib import Path

import pytest

from generators.protocol import Job
from generators.registry import load_generator
from music.prompts import Prompt
from tests.tiny_musicgen import build_tiny_musicgen

# their texts have different lengths, of one, two and five times 16 tokens
PROMPTS = (
    Prompt("piano", "sad piano"),
    Prompt("jazz", "slow jazz, brushes"),
    Prompt("folk", "acoustic folk guitar with soft humming; a slow waltz in a minor key, no drums"),
)


@pytest.fixture(scope="session")
def mono_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("mono"))


@pytest.fixture(scope="session")
def stereo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("stereo"), channels=2, codebooks=3, layers=1)


@pytest.fixture(scope="session")
def odd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sizes that are no powers of two, 100 / 3 frames a second, no projection of the text."""
    return build_tiny_musicgen(
        tmp_path_factory.mktemp("odd"),
        codebooks=5,
        vocabulary=128,
        width=36,
        layers=3,
        text_width=36,
        sample_rate=4_000,
        ratios=(5, 4, 3, 2),
        positions=200,
    )


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like the lab's MusicGen: the spectral codec, six codebooks, 25 frames a second."""
    return build_tiny_musicgen(tmp_path_factory.mktemp("lab"), codebooks=6, spectral=True, text_width=32)


@pytest.fixture(scope="session", params=["mono", "stereo", "odd", "lab"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"{request.param}_folder")


@pytest.fixture(scope="session")
def mono(mono_folder: Path):
    return load_generator(mono_folder, device="cpu", batch_size=4)


@pytest.fixture
def jobs() -> list[Job]:
    return [Job(prompt, i, 1000 * i + len(prompt.text)) for prompt in PROMPTS for i in range(3)]
