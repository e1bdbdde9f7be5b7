"""A tiny MusicGen and a few prompts for runs of the whole job."""

import json
from pathlib import Path

import pytest

from scaling.best_of_n import BestOfN
from tests.tiny_musicgen import build_tiny_musicgen


@pytest.fixture(scope="session")
def tiny_musicgen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("tiny_musicgen"))


@pytest.fixture(scope="session")
def small_run(tiny_musicgen: Path, prompt_file: Path) -> BestOfN:
    """Return the options of a run that takes seconds."""
    return BestOfN(
        generator=str(tiny_musicgen),
        reward="tests.scaling.loudness_scorer:LoudnessScorer",
        prompts=str(prompt_file),
        n=4,
        seconds=0.3,
        ignore_unsupported=True,
        batch_size=4,
        device="cpu",
    )


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of three prompts."""
    rows = [
        {"id": "z", "text": "slow jazz", "facts": {"bpm": 60}},
        {"id": "a/b", "text": "fast rock", "lyrics": "oh"},
        {"id": "test-1", "text": "a drone", "facts": {"bpm": [1, {"x": None}]}},
    ]
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
