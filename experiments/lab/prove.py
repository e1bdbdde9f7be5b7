"""Measures on held-out songs what the shipped models can do, and writes the tables of `assets/lab/README.md`.

    python -m experiments.lab.prove            # runs/lab/prove/proof.md, proof.json, curves.png

1. gold: what the gold judges get right of held-out songs, as they are and through the codec (`gold_check.py`);
2. reward: share of the shipped held-out pairs that CMI-RM orders as the truth does (`check.py`);
3. generator: clips for held-out prompts, and how often gold hears the facts that were asked for;
4. best of N: the main job on them with gold as a judge that has no say: does what is real improve with N, and what
   share of the possible gain does the reward capture;
5. ear: tuning, beat, silence and clipping of real, coded and generated clips (`ear_check.py`).

Each part is kept in the output folder and not made again; delete the folder to start anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.lab.check import agreement
from experiments.lab.ear_check import ear_check
from experiments.lab.gold import Gold
from experiments.lab.gold_check import GoldCheck, check_pool, check_songs, spread_of_scores
from experiments.lab.pairs import HELD_OUT
from experiments.lab.workers import cores, spread
from experiments.lab.world.coded_audio import shipped_codec, through_codec
from experiments.lab.world.corpus import song
from experiments.lab.world.prompts import PromptSet, write_prompts
from experiments.lab.world.rendering import SAMPLE_RATE
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import read_clip
from music.command import refuse_below_one, run
from music.durable import make_folder, write_text
from music.errors import InputError
from music.intervals import bootstrap_means, percentile_interval
from music.pool import Pool
from music.prompts import load_prompts
from music.scores import ScoreTable
from music.shipped_files import LAB
from reward import load_scorer
from scaling import best_of_n

GOLD = "experiments.lab.gold:Gold"
GOLD_METRICS = ("gold_alignment", "gold_musicality")
SHOWN = ("1", "3", "10")  # candidates to choose from
EAR_CLIPS = 200


@dataclass(frozen=True)
class Prove:
    """Measure everything that is said of the lab's models.

    Parameters
    ----------
    output
        Folder for what is made and measured.
    models
        Folder of the lab's models.
    reward
        The scorer that chooses.
    songs
        Held-out songs that gold is tried on.
    pairs
        Pairs of each kind; all that are shipped by default.
    prompts
        Held-out prompts for which the generator makes a clip.
    chosen_prompts
        How many of them get `n` candidates.
    n
        Candidates of each.
    seed
        Of generation and of the bootstrap.
    workers
        Processes that work side by side.
    """

    output: Path = Path("runs/lab/prove")
    models: Path = LAB
    reward: str = "lab-cmi-rm"
    songs: int = 600
    pairs: int | None = None
    prompts: int = 256
    chosen_prompts: int = 200
    n: int = 16
    seed: int = 0
    workers: int = cores()

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "songs", "pairs", "prompts", "chosen_prompts", "n", "workers")


def main(options: Prove) -> None:
    """Measure what is not measured yet, and write the page."""
    make_folder(options.output)
    codec = shipped_codec(options.models)
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
            part = {"seconds": time.perf_counter() - began, "found": measured}
            write_text(path, json.dumps(part, indent=1) + "\n")
        part = json.loads(path.read_text())
        found[name], minutes[name] = part["found"], part["seconds"] / 60
    write_text(options.output / "proof.json", json.dumps({**found, "minutes": minutes}, indent=1) + "\n")
    draw_curves(found["best_of_n"], options.output / "curves.png")
    page = "\n\n".join([*_tables(found), _duration(minutes)]) + "\n"
    write_text(options.output / "proof.md", page)
    print(page)


def measure_gold(options: Prove, codec: SpectralCodecModel) -> Any:
    """Return what gold gets right of held-out songs."""
    check = GoldCheck(
        options.songs, output=options.output / "gold_songs.json", seed=options.seed, workers=options.workers
    )
    return check_songs(Gold(options.models / "gold"), codec, check)


def measure_reward(options: Prove, codec: SpectralCodecModel) -> Any:
    """Return how often the reward orders held-out pairs as the truth does, by head and kind."""
    counts = {kind: min(count, options.pairs or count) for kind, count in HELD_OUT.items()}
    found = agreement(options.reward, codec, counts, options.output / "pairs", options.workers)
    return {head: {kind: asdict(row) for kind, row in groups.items()} for head, groups in found.items()}


def measure_generator(options: Prove) -> Any:
    """Make the first candidate of each prompt and return what gold hears in them."""
    write_prompts(options.output / "prompts.jsonl", PromptSet(count=options.prompts))
    folder = run_job(options, n=1, limit=options.prompts)
    pool = Pool(folder / "pool")
    first = [candidate for candidate in pool.candidates if candidate.candidate == 0]
    return check_pool(Gold(options.models / "gold"), pool, first, options.workers)


def run_job(options: Prove, n: int, limit: int) -> Path:
    """Run the main job with gold as a judge, a process of one thread on each core, and return its folder."""
    folder = options.output / "best_of_n"
    asked = {
        "generator": options.models / "musicgen",
        "reward": options.reward,
        "judges": GOLD,
        "prompts": options.output / "prompts.jsonl",
        "limit": limit,
        "n": n,
        "seed": options.seed,
        "output": folder,
    }
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(options.workers), "--"]
    words = [str(word) for name, value in asked.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *launcher, best_of_n.__file__, *words], env=environment)
    if done.returncode:
        raise InputError(
            f"the main job for {limit} prompts x {n} ended with code {done.returncode}: see above"
        )
    return folder


def measure_best_of_n(options: Prove) -> Any:
    """Run the main job with gold as a judge and return its summary."""
    folder = run_job(options, options.n, options.chosen_prompts)
    pool = Pool(folder / "pool")
    asked = {prompt.id for prompt in load_prompts(options.output / "prompts.jsonl", options.chosen_prompts)}
    candidates = [candidate for candidate in pool.candidates if candidate.prompt_id in asked]
    summary = json.loads((folder / "summary.json").read_text())
    gold = load_scorer(GOLD)
    scores = ScoreTable(pool.folder, gold.name, gold.hash, gold.metrics).table(candidates)
    spread_of = {
        metric: spread_of_scores(candidates, [row[metric] for row in scores]) for metric in GOLD_METRICS
    }
    return {**summary, "within_prompts": spread_of}


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
    found = {}
    for name, rows in heard.items():
        table = np.array([list(one.values()) for one in rows])
        low, high = percentile_interval(bootstrap_means(table, options.seed))
        found[name] = {
            number: {"mean": mean, "ci95": [lower, upper]}
            for number, mean, lower, upper in zip(
                rows[0], table.mean(0).tolist(), low.tolist(), high.tolist(), strict=True
            )
        }
    return found


def _heard_of_song(codec: SpectralCodecModel, index: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the ear check of a held-out song, and of the same through the codec."""
    wave = song("test", "ear", index).waveform()
    return ear_check(wave, SAMPLE_RATE), ear_check(through_codec(codec, wave), SAMPLE_RATE)


def _heard_of_file(path: Path) -> dict[str, float]:
    return ear_check(read_clip(path).waveform[0].numpy(), SAMPLE_RATE)


def draw_curves(summary: Mapping[str, Any], path: Path) -> None:
    """Draw reward and gold of the chosen clip against N, each in its own units, with 95 % bands."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = ("reward", *GOLD_METRICS)
    figure, panels = plt.subplots(1, len(names), figsize=(11, 3.2), constrained_layout=True)
    numbers = [int(n) for n in summary["by_n"]]
    for axes, name in zip(panels, names, strict=True):
        rows = [summary["by_n"][str(n)][name] for n in numbers]
        low, high = zip(*(row["ci95"] for row in rows), strict=True)
        colour = "tab:orange" if name == "reward" else "tab:blue"
        axes.fill_between(numbers, low, high, alpha=0.2, color=colour, linewidth=0)
        axes.plot(numbers, [row["mean"] for row in rows], "o-", markersize=3, color=colour)
        axes.set_xscale("log")
        axes.set_xticks([n for n in (1, 2, 3, 5, 10, 16) if n <= numbers[-1]])
        axes.set_xticklabels([n for n in (1, 2, 3, 5, 10, 16) if n <= numbers[-1]])
        axes.minorticks_off()
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("candidates to choose from, N")
        axes.grid(alpha=0.25)
    figure.suptitle(f"chosen by {summary['reward']}, {summary['n_prompts']} held-out prompts, 95 % bands")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _tables(found: Mapping[str, Any]) -> list[str]:
    """Return the page's paragraphs, in Markdown."""
    gold, reward, generator, best, ear = (
        found[name] for name in ("gold", "reward", "generator", "best_of_n", "ear")
    )
    by_n, captured = best["by_n"], best["captured"]
    shown = [n for n in SHOWN if n in by_n]
    names = ("reward", *GOLD_METRICS)
    return [
        "## Gold judges on held-out songs\n\nShare of songs in which the true value is heard, 95 % Wilson intervals.",
        _table(
            ("fact", "most frequent", "clean", "coded", "clean, damaged", "coded, damaged"),
            [
                (
                    name,
                    f"{row['most_frequent']:.0%}",
                    _share(row),
                    *(
                        _share(gold[sound][state][name])
                        for sound, state in (
                            ("coded", "undamaged"),
                            ("clean", "damaged"),
                            ("coded", "damaged"),
                        )
                    ),
                )
                for name, row in gold["clean"]["undamaged"].items()
            ],
        ),
        "Spearman's correlation of `gold_musicality` with minus the true severity: "
        + ", ".join(
            f"{sound} {_number(gold[sound]['musicality']['srcc'], gold[sound]['musicality']['ci95'])}"
            for sound in ("clean", "coded")
        )
        + f" ({gold['clean']['musicality']['clips']} songs each).",
        "## Reward model on held-out pairs\n\nShare ordered as the truth orders them, 95 % Wilson intervals.",
        _table(
            ("pairs", "number", "musicality", "alignment"),
            [
                (
                    kind,
                    str(row["pairs"]),
                    _accuracy(reward["musicality"].get(kind)),
                    _accuracy(row),
                )
                for kind, row in reward["alignment"].items()
            ],
        ),
        f"## Generator\n\nWhat gold hears in one clip for each of {generator['prompts']} held-out prompts, of what was "
        "asked for.",
        _table(("fact", "heard"), [(name, _share(row)) for name, row in generator["facts"].items()]),
        f"## Best of N\n\n{best['n_prompts']} held-out prompts, {best['n']} candidates each, chosen by "
        f"{best['reward']}; means of the chosen clip with 95 % bootstrap intervals over prompts.",
        _table(
            ("N", *names),
            [(n, *(_number(by_n[n][name]["mean"], by_n[n][name]["ci95"]) for name in names)) for n in shown]
            + [
                (
                    f"{n} − 1, paired",
                    *(
                        _number(by_n[n][name]["gain"]["mean"], by_n[n][name]["gain"]["ci95"], "+")
                        for name in names
                    ),
                )
                for n in dict.fromkeys((shown[-1], str(best["n"])))
            ]
            + [
                (
                    "captured of the possible gain",
                    *(
                        _number(captured[name]["share"], captured[name]["ci95"]) if captured[name] else "–"
                        for name in names
                    ),
                )
            ],
        ),
        "Standard deviation among the candidates of a prompt: "
        + ", ".join(f"{name} {row['within_prompts']:.3f}" for name, row in best["within_prompts"].items())
        + ".",
        f"## Ear check\n\nMeans over {EAR_CLIPS} clips of each kind with 95 % bootstrap intervals.",
        _table(
            ("clips", *ear["real"]),
            [
                (kind, *(_number(row["mean"], row["ci95"]) for row in numbers.values()))
                for kind, numbers in ear.items()
            ],
        ),
    ]


def _duration(minutes: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {each:.1f}" for name, each in minutes.items())
    return f"Measured in {sum(minutes.values()):.1f} minutes: {parts}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float, interval: Sequence[float], sign: str = "") -> str:
    low, high = interval
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _share(row: Mapping[str, Any]) -> str:
    low, high = row["ci95"]
    return f"{row['share']:.1%} [{low:.1%}, {high:.1%}]"


def _accuracy(row: Mapping[str, Any] | None) -> str:
    return f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]" if row else "–"


if __name__ == "__main__":
    run(main, Prove)
