"""Measures the gold judges on held-out songs, as they are and through the codec, and lets them judge a pool.

    python -m experiments.lab.gold_check --pool runs/best_of_n/pool    # prints, and writes runs/lab/gold_check.json
    python -m experiments.lab.gold_check --judges gold_b               # the second judges

- facts: share of songs in which the likeliest value is the true one, with 95 % Wilson intervals, beside the share of
  the most frequent value, which a judge that hears nothing would reach; without and with damage.
- musicality: Spearman's rank correlation of `gold_musicality` with minus the true severity, 95 % bootstrap interval.
- pool: share of the candidates in which a requested fact is heard, and how far the candidates of a prompt are apart.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy.stats import spearmanr

from experiments.lab.gold import Gold, GoldB, Impression, requested_facts
from experiments.lab.gold_judge.songs import SECONDS, gold_song, pcm16
from experiments.lab.options import Suite, Workers
from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.world.coded_audio import shipped_codec, through_codec
from experiments.lab.world.facts import HEARD, Facts
from experiments.lab.world.rendering import RENDERING, SAMPLE_RATE
from experiments.running import spread
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip
from music.command import refuse_below_one, run
from music.durable import claim_work, write_json
from music.intervals import RESAMPLES, Estimate, estimate_each, wilson_interval
from music.pool import Candidate, Pool
from reward.cmi_rm.weights import hash_tensors

CHUNK = 32  # songs or clips that a process takes at a time
#: how a song is heard, in the order in which `_sounds` makes them
SOUNDS = (("undamaged", "clean"), ("undamaged", "coded"), ("damaged", "clean"), ("damaged", "coded"))


@dataclass(frozen=True)
class GoldCheck(Suite, Workers):
    """Measure the gold judges on held-out songs.

    Parameters
    ----------
    judges
        Judges to measure: gold, or gold_b, the second ones; both on songs that neither has learned from.
    songs
        Number of held-out songs, the first of the test split; each is heard undamaged and damaged, as it is and coded.
    seconds
        Length of each song, s.
    pool
        Pool of clips for prompts with facts, such as the main job's, in which gold listens for them.
    output
        File to write; what is rendered lies in a folder of its name.
    seed
        Seed of the bootstrap.
    """

    LIBRARIES: ClassVar = (RENDERING,)
    RENAMED: ClassVar = {"n": "songs"}

    judges: Literal["gold", "gold_b"] = "gold"
    songs: int = 600
    seconds: float = SECONDS
    pool: Path | None = None
    output: Path = Path("runs/lab/gold_check.json")
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "songs")


def share_heard(right: Iterable[bool]) -> dict[str, Any]:
    """Return the share of True with its 95 % Wilson interval."""
    found = list(right)
    low, high = wilson_interval(sum(found), len(found))
    return {"share": sum(found) / len(found), "ci95": [low, high], "clips": len(found)}


def facts_heard(heard: Sequence[Impression], facts: Sequence[Facts]) -> dict[str, dict[str, Any]]:
    """Return, for each fact, how often it is heard, and the share of its most frequent value.

    What only lyrics tell is counted in sung songs alone.
    """
    found = {}
    for name in HEARD:
        rows = [(one.best(name), getattr(true, name)) for one, true in zip(heard, facts, strict=True)]
        rows = [row for row in rows if row[1] is not None]
        if rows:
            most_frequent = Counter(truth for _, truth in rows).most_common(1)[0][1] / len(rows)
            right = share_heard(best == truth for best, truth in rows)
            found[name] = {**right, "most_frequent": most_frequent}
    return found


def musicality_order(heard: Sequence[Impression], severity: Sequence[float], seed: int) -> dict[str, Any]:
    """Return the rank correlation of musicality with minus the true severity."""
    both = np.column_stack([[1 - one.severity for one in heard], -np.array(severity)])

    def correlation(rows: np.ndarray) -> list[float]:
        return [float(spearmanr(*rows.T).statistic)]

    (found,) = estimate_each(correlation, both, range(len(both)), seed)
    return {"srcc": found.value, "ci95": [found.low, found.high], "clips": len(both)}


def check_songs(gold: Gold, codec: SpectralCodecModel, options: GoldCheck) -> dict[str, Any]:
    """Return what gold gets right of held-out songs: by sound (`clean`, `coded`) the facts and the musicality."""
    work = options.output.with_suffix("")
    claim_work(work, codec=hash_tensors(codec.state_dict()), n=options.songs, seconds=options.seconds)
    make = partial(_sounds, codec, options.seconds)
    waves = cached_rows(make, options.songs, work, "songs", options.workers, chunk=CHUNK)
    every = waves.swapaxes(0, 1).reshape(-1, 1, waves.shape[-1])
    clips = [Clip(torch.from_numpy(row / np.float32(32767)), SAMPLE_RATE) for row in every]
    all_heard = spread(gold.hear, clips, options.workers, "gold", CHUNK)
    found: dict[str, Any] = {"clean": {}, "coded": {}}
    for index, (state, sound) in enumerate(SOUNDS):
        damaged = state == "damaged"
        songs = [gold_song("test", one, options.seconds, damaged) for one in range(options.songs)]
        heard = all_heard[index * options.songs : (index + 1) * options.songs]
        found[sound][state] = facts_heard(heard, [one.facts for one in songs])
        if damaged:  # a quarter of them carry none
            severity = [one.severity for one in songs]
            found[sound]["musicality"] = musicality_order(heard, severity, options.seed)
    return found


def _sounds(codec: SpectralCodecModel, seconds: float, index: int) -> np.ndarray:
    """Return a held-out song as each of `SOUNDS`, int16 [4, samples]."""
    found = []
    for damaged in (False, True):
        wave = gold_song("test", index, seconds, damaged).waveform()
        found += [wave, through_codec(codec, wave)]
    return pcm16(np.stack(found))


def check_pool(
    gold: Gold, pool: Pool, candidates: Sequence[Candidate] | None = None, workers: int = 1
) -> dict[str, Any]:
    """Return how often requested facts are heard in candidates of a pool, all by default, and how scores spread."""
    candidates = pool.candidates if candidates is None else candidates
    heard = spread(gold.hear, [pool.path(one) for one in candidates], workers, "gold", CHUNK)
    requested = [requested_facts(pool.prompt(candidate)) for candidate in candidates]
    shares = {}
    for name in HEARD:
        right = [
            one.best(name) == facts[name]
            for one, facts in zip(heard, requested, strict=True)
            if name in facts
        ]
        if right:
            shares[name] = share_heard(right)
    scores = {
        "gold_alignment": [one.alignment(facts) for one, facts in zip(heard, requested, strict=True)],
        "gold_musicality": [1 - one.severity for one in heard],
    }
    found = {metric: spread_of_scores(candidates, values) for metric, values in scores.items()}
    prompts = len({candidate.prompt_id for candidate in candidates})
    return {"facts": shares, "scores": found, "clips": len(candidates), "prompts": prompts}


def spread_of_scores(candidates: Sequence[Candidate], scores: Sequence[float]) -> dict[str, float]:
    """Return the mean of the scores of candidates, and how they differ among the candidates of a prompt.

    `within_prompts` is the standard deviation over the candidates of a prompt, averaged over prompts: what a choice
    among them can gain.
    """
    own: dict[str, list[float]] = {}
    for candidate, score in zip(candidates, scores, strict=True):
        own.setdefault(candidate.prompt_id, []).append(score)
    return {
        "mean": float(np.mean(scores)),
        "within_prompts": float(np.mean([np.std(values) for values in own.values()])),
    }


def main(options: GoldCheck) -> None:
    """Measure, print and write."""
    gold = (Gold if options.judges == "gold" else GoldB)(options.suite / options.judges)
    songs = check_songs(gold, shipped_codec(options.suite), options)
    for sound, groups in songs.items():
        for state in ("undamaged", "damaged"):
            for name, row in groups[state].items():
                print(
                    f"{sound} {state:9s} {name:13s} {_shown(row)} (most frequent {row['most_frequent']:.0%})"
                )
        order = groups["musicality"]
        srcc = Estimate(order["srcc"], *order["ci95"])
        print(f"{sound} musicality SRCC {srcc:.3f} of {order['clips']} clips")
    found: dict[str, Any] = {
        "gold": gold.hash,
        "songs": songs,
        "n": options.songs,
        "seconds": options.seconds,
    }
    found |= {"split": "test", "first_song": 0, "bootstrap_seed": options.seed, "resamples": RESAMPLES}
    if options.pool:
        pool = Pool(options.pool)
        found["pool"] = check_pool(gold, pool, workers=options.workers)
        for name, row in found["pool"]["facts"].items():
            print(f"pool {name:13s} {_shown(row)}")
        for metric, row in found["pool"]["scores"].items():
            print(
                f"pool {metric:15s} mean {row['mean']:.3f}, deviation within prompts {row['within_prompts']:.3f}"
            )
    write_json(options.output, found)


def _shown(row: dict[str, Any]) -> str:
    return f"{Estimate(row['share'], *row['ci95']):.1%} of {row['clips']} clips"


if __name__ == "__main__":
    run(main, GoldCheck)
