"""Small models and sounds for the tests of `reward`."""

import json
from pathlib import Path

import pytest
import torch

from music.clips import Clip
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.checkpoint import load_towers
from reward.cmi_rm.locations import Locator

SCORING = Path(__file__).parents[1] / "data" / "scoring"


@pytest.fixture(scope="session")
def scoring() -> Path:
    """Return the folder of golden checkpoints, towers and clips."""
    return SCORING


@pytest.fixture(scope="session")
def golden():
    """Return the expected rows of a golden checkpoint, as requests and as ``{metric: value}``."""

    def read(name):
        rows = json.loads((SCORING / name / "expected.json").read_text())
        requests = []
        for index, row in enumerate(rows):
            reference = SCORING / "audio" / f"{row['ref']}.flac" if row["ref"] else None
            prompt = Prompt(str(index), row["text"], row["lyrics"], reference)
            requests.append(ScoreRequest(SCORING / "audio" / f"{row['audio']}.flac", prompt))
        return requests, [{name: row[name] for name in ("musicality", "alignment")} for row in rows]

    return read


@pytest.fixture(scope="session", params=["sa_plain", "sa_conv"])
def golden_name(request):
    return request.param


@pytest.fixture(scope="session")
def towers():
    """Return the small MuQ-MuLan, width 24."""
    return load_towers(str(SCORING / "mulan-tiny"), Locator())


@pytest.fixture
def scorer(scoring):
    """Return a fresh scorer, with empty caches."""
    return load_scorer(scoring / "sa_conv", device="cpu")


@pytest.fixture
def noise():
    """Return a clip of white noise of so many samples."""

    def make(samples, seed=0, rate=24_000, channels=1):
        generator = torch.Generator().manual_seed(seed)
        return Clip(torch.randn(channels, samples, generator=generator) * 0.1, rate)

    return make
