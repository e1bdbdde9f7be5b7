"""A browser, and studies of three systems."""

from pathlib import Path

import pytest

from tests.ab_test.browser import chromium
from tests.ab_test.small_study import build_three


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
