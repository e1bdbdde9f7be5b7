"""Studies of three systems that never offer the same clip."""

import json
from pathlib import Path

import pytest

from experiments.ab_test.building.build import main
from experiments.ab_test.building.config import Build
from tests.ab_test.browser import chromium
from tests.ab_test.simulated_answers import ONE, THREE, TWO
from tests.ab_test.small_study import make_pool


def folder_of(made, candidate: int, place: Path) -> Path:
    """Return a folder that lists candidate k of each prompt of a pool."""
    place.mkdir(parents=True)
    rows = []
    for row in made.candidates:
        name = f"{len(rows)}.flac"
        (place / name).write_bytes(made.pool.path(row[candidate]).read_bytes())
        rows.append(json.dumps({"file_name": name, "prompt_id": row[candidate].prompt_id}))
    (place / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    return place


def build_three(folder: Path, **options) -> Path:
    """Build a study of 12 prompts and 36 pairs."""
    made = make_pool(folder, 12, 3)
    second, third = folder_of(made, 1, folder / "b"), folder_of(made, 2, folder / "c")
    systems = f"{ONE}={made.pool.folder},{TWO}={second},{THREE}={third}"
    asked = {
        "raters": 24,
        "seed": 123_456_789_123,
        "minimum_listening": 0.2,
        "reading_seconds": 0.0,
        **options,
    }
    main(Build(systems, folder / "study", sample_rate=16_000, **asked))
    return folder / "study"


@pytest.fixture(scope="module")  # no longer: while it lives, nothing else of asyncio can run in this process
def browser():
    """Return a headless Chromium; skip where there is none."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def three_systems(tmp_path_factory) -> Path:
    """Return the folder of a study whose raters hear all pairs."""
    return build_three(tmp_path_factory.mktemp("three"), catches=2, repeats=3, identicals=2)


@pytest.fixture(scope="session")
def short_study(tmp_path_factory) -> Path:
    """Return the folder of a study whose raters hear a ninth of the pairs."""
    options = {"trials_per_rater": 4, "catches": 1, "repeats": 1, "identicals": 0}
    return build_three(tmp_path_factory.mktemp("short"), **options)
