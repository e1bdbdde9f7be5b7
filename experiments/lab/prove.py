"""Measures on held-out songs what the shipped models can do, and writes the tables of `assets/lab/README.md`.

    python -m experiments.lab.prove            # runs/lab/prove/proof.md, proof.json, curves.png

1. gold: what the gold judges hear rightly in held-out songs, as they are and through the codec (`gold_check.py`);
2. reward: share of the shipped held-out pairs that CMI-RM orders as the truth does (`check.py`);
3. generator: clips for held-out prompts, and how often gold hears the requested facts in them;
4. best of N: the main job on them, with gold as a judge that has no say: whether what is real improves with N, and what
   share of the possible gain the reward captures;
5. ear: tuning, beat, silence and clipping of real, coded and generated clips (`proof/ear_check.py`).

Each part is kept in the output folder and not measured again; delete the folder to start anew.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.lab.check import agreement
from experiments.lab.gold import Gold
from experiments.lab.gold_check import GoldCheck, check_pool, check_songs, spread_of_scores
from experiments.lab.options import Suite, Workers
from experiments.lab.pairs import held_out
from experiments.lab.proof.ear_check import ear_check
from experiments.lab.proof.report import draw_curves, page_of
from experiments.lab.world.coded_audio import shipped_codec, through_codec
from experiments.lab.world.corpus import song
from experiments.lab.world.prompts import PromptSet, write_prompts
from experiments.lab.world.rendering import RENDERING, SAMPLE_RATE
from experiments.running import run_command, spread
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import read_clip
from music.command import refuse_below_one, run
from music.durable import make_folder, write_json, write_text
from music.intervals import bootstrap_means, percentile_interval
from music.pool import Pool
from music.prompts import load_prompts
from music.scores import ScoreTable
from reward import load_scorer
from scaling import best_of_n

GOLD = "experiments.lab.gold:Gold"
EAR_CLIPS = 200


@dataclass(frozen=True)
class Prove(Suite, Workers):
    """Measure everything that is said of the lab's models.

    Parameters
    ----------
    output
        Folder for what is made and measured.
    reward
        Reward model that chooses: a name (lab-cmi-rm), hub id, folder, or module:Class.
    songs
        Number of held-out songs that gold is tried on.
    pairs
        Number of pairs of each kind; all that are shipped by default.
    limit
        Number of held-out prompts for which the generator makes a clip.
    chosen_prompts
        Number of these prompts that get n candidates.
    n
        Number of candidates for each of them.
    seed
        Seed of the run: of generation and of the bootstrap.
    """

    LIBRARIES: ClassVar = (RENDERING,)
    RENAMED: ClassVar = {"prompts": "limit"}

    output: Path = Path("runs/lab/prove")
    reward: str = "lab-cmi-rm"
    songs: int = 600
    pairs: int | None = None
    limit: int = 256
    chosen_prompts: int = 200
    n: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "songs", "pairs", "limit", "chosen_prompts", "n")


def main(options: Prove) -> None:
    """Measure what is not measured yet, and write the page."""
    make_folder(options.output)
    codec = shipped_codec(options.suite)
    parts: dict[str, Callable[[], Any]] = {
        "gold": lambda: measure_gold(options, codec),
        "reward": lambda: measure_reward(options, codec),
        "generator": lambda: measure_generator(options),
        "best_of_n": lambda: measure_best_of_n(options),
        "ear": lambda: measure_ear(options, codec),
    }
    found, minutes = {}, {}
    for name, measure in parts.items():
        path = options.output / f"{name}.json"
        if not path.exists():
            began = time.perf_counter()
            measured = measure()
            write_json(path, {"seconds": time.perf_counter() - began, "found": measured})
        part = json.loads(path.read_text())
        found[name], minutes[name] = part["found"], part["seconds"] / 60
    write_json(options.output / "proof.json", {**found, "minutes": minutes})
    draw_curves(found["best_of_n"], options.output / "curves.png")
    page = page_of(found, minutes, EAR_CLIPS)
    write_text(options.output / "proof.md", page)
    print(page)


def measure_gold(options: Prove, codec: SpectralCodecModel) -> Any:
    """Return what gold hears rightly in held-out songs."""
    output = options.output / "gold_songs.json"
    check = GoldCheck(songs=options.songs, output=output, seed=options.seed, workers=options.workers)
    return check_songs(Gold(options.suite / "gold"), codec, check)


def measure_reward(options: Prove, codec: SpectralCodecModel) -> Any:
    """Return how often the reward orders held-out pairs as the truth does, by head and kind."""
    counts = held_out(options.pairs)
    found = agreement(options.reward, codec, counts, options.output / "pairs", options.workers)
    return {head: {kind: asdict(row) for kind, row in groups.items()} for head, groups in found.items()}


def measure_generator(options: Prove) -> Any:
    """Make the first candidate of each prompt and return what gold hears in them."""
    write_prompts(options.output / "prompts.jsonl", PromptSet(count=options.limit))
    folder = run_job(options, n=1, limit=options.limit)
    pool = Pool(folder / "pool")
    first = [candidate for candidate in pool.candidates if candidate.candidate == 0]
    return check_pool(Gold(options.suite / "gold"), pool, first, options.workers)


def run_job(options: Prove, n: int, limit: int) -> Path:
    """Run the main job with gold as a judge, with a process of one thread on each core, and return its folder."""
    folder = options.output / "best_of_n"
    job = {
        "generator": options.suite / "musicgen",
        "reward": options.reward,
        "judges": GOLD,
        "prompts": options.output / "prompts.jsonl",
        "limit": limit,
        "n": n,
        "seed": options.seed,
        "output": folder,
    }
    run_command(best_of_n.__file__, job, processes=options.workers)
    return folder


def measure_best_of_n(options: Prove) -> Any:
    """Run the main job with gold as a judge and return its summary."""
    folder = run_job(options, options.n, options.chosen_prompts)
    pool = Pool(folder / "pool")
    chosen = {prompt.id for prompt in load_prompts(options.output / "prompts.jsonl", options.chosen_prompts)}
    candidates = [candidate for candidate in pool.candidates if candidate.prompt_id in chosen]
    summary = json.loads((folder / "summary.json").read_text())
    gold = load_scorer(GOLD)
    scores = ScoreTable(pool.folder, gold.name, gold.hash, gold.metrics).table(candidates)
    within = {
        metric: spread_of_scores(candidates, [row[metric] for row in scores]) for metric in gold.metrics
    }
    return {**summary, "within_prompts": within}


def measure_ear(options: Prove, codec: SpectralCodecModel) -> Any:
    """Return mean and 95 % interval of each number of the ear check, for real, coded and generated clips."""
    both = spread(partial(_heard_of_song, codec), range(EAR_CLIPS), options.workers, "ear: songs")
    pool = Pool(options.output / "best_of_n" / "pool")
    first = [pool.path(candidate) for candidate in pool.candidates if candidate.candidate == 0][:EAR_CLIPS]
    heard = {
        "real": [real for real, _ in both],
        "coded": [coded for _, coded in both],
        "generated": spread(_heard_of_file, first, options.workers, "ear: generated"),
    }
    return {name: _means(rows, options.seed) for name, rows in heard.items()}


def _heard_of_song(codec: SpectralCodecModel, index: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the ear check of a held-out song, and of the same through the codec."""
    wave = song("test", "ear", index).waveform()
    return ear_check(wave, SAMPLE_RATE), ear_check(through_codec(codec, wave), SAMPLE_RATE)


def _heard_of_file(path: Path) -> dict[str, float]:
    return ear_check(read_clip(path).waveform[0].numpy(), SAMPLE_RATE)


def _means(rows: list[dict[str, float]], seed: int) -> dict[str, Any]:
    table = np.array([list(one.values()) for one in rows])
    low, high = percentile_interval(bootstrap_means(table, seed))
    columns = zip(rows[0], table.mean(0).tolist(), low.tolist(), high.tolist(), strict=True)
    return {number: {"mean": mean, "ci95": [lower, upper]} for number, mean, lower, upper in columns}


if __name__ == "__main__":
    run(main, Prove)
