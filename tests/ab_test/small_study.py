"""A small study of noise and tones, built by the real command."""

from pathlib import Path

from experiments.ab_test.building.build import main
from experiments.ab_test.building.config import Build
from tests.scaling.noise_pool import NoisePool, make_noise_pool

CHOSEN = {"reward": "loudness", "weights": "loudness"}


def make_pool(folder: Path, prompts: int, n: int = 3) -> NoisePool:
    """Return a pool of a generator whose name is in no text."""
    return make_noise_pool(folder, prompts, n, generator="hidden-generator")


def build_study(folder: Path, prompts: int = 4, **options) -> Path:
    """Build a study in ``folder/study``; the first prompt has a reference, the second lyrics, all texts markup."""
    made = make_pool(folder, prompts)
    asked = {
        "seed": 7_041_776_021,
        "raters": 4,
        "minimum_listening": 0.2,
        "reading_seconds": 0.0,
        **CHOSEN,
        **options,
    }
    systems = asked.pop("systems", None) or f"best-of-three={made.pool.folder}:3,single={made.pool.folder}:1"
    main(Build(systems, folder / "study", **asked))
    return folder / "study"
