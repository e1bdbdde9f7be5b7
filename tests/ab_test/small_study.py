"""Small studies of noise and tones, built by the real command."""

import json
from pathlib import Path

from experiments.ab_test.building.build import main
from experiments.ab_test.building.config import Build
from tests.ab_test.simulated_answers import ONE, THREE, TWO
from tests.scaling.noise_pool import NoisePool, make_noise_pool

CHOSEN = {"reward": "loudness", "weights": "loudness"}
QUICK = {"minimum_listening": 0.2, "reading_seconds": 0.0}


def make_pool(folder: Path, prompts: int, n: int = 3) -> NoisePool:
    """Return a pool of a generator whose name is in no text."""
    return make_noise_pool(folder, prompts, n, generator="hidden-generator")


def folder_of(made: NoisePool, candidate: int, place: Path) -> Path:
    """Return a folder that lists candidate k of each prompt of a pool."""
    place.mkdir(parents=True)
    rows = []
    for row in made.candidates:
        name = f"{len(rows)}.flac"
        (place / name).write_bytes(made.pool.path(row[candidate]).read_bytes())
        rows.append(json.dumps({"file_name": name, "prompt_id": row[candidate].prompt_id}))
    (place / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    return place


def build_study(folder: Path, prompts: int = 4, systems: str = "", **options) -> Path:
    """Build a study in ``folder/study``; the first prompt has a reference, the second lyrics, all texts markup."""
    pool = make_pool(folder, prompts).pool.folder
    asked = {"seed": 7_041_776_021, "raters": 4, **QUICK, **CHOSEN, **options}
    main(Build(systems or f"best-of-three={pool}:3,single={pool}:1", folder / "study", **asked))
    return folder / "study"


def build_three(folder: Path, **options) -> Path:
    """Build a study of 12 prompts and 36 pairs of three systems that never offer the same clip."""
    made = make_pool(folder, 12, 3)
    second, third = folder_of(made, 1, folder / "b"), folder_of(made, 2, folder / "c")
    systems = f"{ONE}={made.pool.folder},{TWO}={second},{THREE}={third}"
    asked = {"raters": 24, "seed": 123_456_789_123, "sample_rate": 16_000, **QUICK, **options}
    main(Build(systems, folder / "study", **asked))
    return folder / "study"
