"""A tiny MusicGen and a few prompts for runs of the whole job, and what best of six and pruning leave of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.best_of_n import BestOfN
from scaling.best_of_n import main as best_of_n
from scaling.search import Search
from scaling.search import main as search
from tests.scaling.searches import SECONDS
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


@pytest.fixture
def no_page(request, monkeypatch):
    """Leave out the page of a search, which takes as long as a small one, where it is not what is tested."""
    if "report" not in request.node.name:
        monkeypatch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)


@pytest.fixture(scope="session")
def search_options(small_run):
    """Return the options that a search shares with best of n."""
    names = ("generator", "reward", "prompts", "ignore_unsupported", "batch_size", "device")
    shared = {name: getattr(small_run, name) for name in names}
    return {**shared, "n": 6, "seconds": SECONDS, "judges": "tests.scaling.loudness_scorer:GoldScorer"}


@pytest.fixture
def config(search_options, tmp_path):
    """Return a search of three prompts."""
    return Search(**search_options, output=tmp_path / "search")


@pytest.fixture(scope="session")
def whole(small_run, search_options, tmp_path_factory):
    """Return what best of six leaves."""
    folder = tmp_path_factory.mktemp("whole")
    best_of_n(replace(small_run, **search_options, output=folder))
    return folder


@pytest.fixture(scope="session")
def pruned(search_options, tmp_path_factory):
    """Return what a search leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("pruned")
    search(Search(**search_options, output=folder))
    return folder
