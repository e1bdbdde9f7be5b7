"""Measures what the lab's models can do, on songs and prompts that no training has seen.

    python -m experiments.lab.check      # prints, and writes runs/lab/check/check.json

- reward: share of held-out pairs (`pairs.py`) ordered as the truth orders them, for musicality and alignment, over the
  four conditions and by kind, with 95 % Wilson intervals; a tie counts half.
- codec: error of the log-mel frames that remains after coding, beside their variance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import torch

from experiments.lab.coded_audio import shipped_codec
from experiments.lab.corpus import song
from experiments.lab.pairs import CONDITIONS, HELD_OUT, write_pairs
from experiments.lab.spread import cores, spread
from generators.spectral_codec import SpectralCodecModel
from music.command import refuse_below_one, run
from reward import load_scorer
from reward.bradley_terry import Accuracy, accuracy_of
from reward.preferences import HEADS, load_preferences
from reward.protocol import Scorer, ScoreRequest

OVERALL = "all conditions"
CHUNK = 32  # clips that a process scores at a time


@dataclass(frozen=True)
class Check:
    """Measure the lab's reward model and codec on held-out songs.

    Parameters
    ----------
    reward
        The scorer.
    models
        Folder of the lab's models.
    n
        Held-out pairs of each kind.
    output
        Folder for the pairs and `check.json`.
    workers
        Processes that work side by side.
    """

    reward: str = "lab-cmi-rm"
    models: Path = Path("assets/lab")
    n: int = 200
    output: Path = Path("runs/lab/check")
    workers: int = cores()

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "workers")


def agreement(scorer: str, rows: Path, workers: int = 1) -> dict[str, dict[str, Accuracy]]:
    """Return, for each head and each kind of pair, how often the scorer orders a pair as the truth does.

    Parameters
    ----------
    workers
        Processes that score.
    """
    pairs = load_preferences(rows)
    requests = [ScoreRequest(audio, pair.prompt) for pair in pairs for audio in (pair.audio_a, pair.audio_b)]
    parts = [requests[start : start + CHUNK] for start in range(0, len(requests), CHUNK)]
    scores = [row for part in spread(partial(_scores, scorer), parts, workers, "scores") for row in part]
    found: dict[str, dict[str, Accuracy]] = {}
    for head in HEADS:
        differences = [a[head] - b[head] for a, b in zip(scores[::2], scores[1::2], strict=True)]
        found[head] = {}
        judged = [i for i, pair in enumerate(pairs) if getattr(pair, head)]
        for name in (OVERALL, *HELD_OUT):
            kinds = CONDITIONS if name == OVERALL else (name,)
            rows_of = [i for i in judged if pairs[i].prompt.facts["kind"] in kinds]
            labels = [getattr(pairs[i], head) for i in rows_of]
            if rows_of:
                found[head][name] = accuracy_of([differences[i] for i in rows_of], labels)
    return found


def _scores(scorer: str, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
    return _loaded(scorer).score(requests)


@cache
def _loaded(scorer: str) -> Scorer:
    """Return the scorer, loaded once in each process."""
    return load_scorer(scorer)


def codec_error(codec: SpectralCodecModel, songs: int = 100) -> dict[str, float]:
    """Return the mean squared error of coded log-mel frames of held-out songs, and their variance."""
    frames = torch.cat(
        [
            codec.frames(torch.from_numpy(song("test", "codec", index).waveform())[None])[0]
            for index in range(songs)
        ]
    )
    with torch.no_grad():
        coded = codec.frames_of(codec.codes_of(frames[None]))[0]
    return {"error": (coded - frames).square().mean().item(), "variance": frames.var().item()}


def main(options: Check) -> None:
    """Measure, print and write."""
    codec = shipped_codec(options.models)
    rows = write_pairs(options.output, "test", dict.fromkeys(HELD_OUT, options.n), codec, options.workers)
    error, reward = codec_error(codec), agreement(options.reward, rows, options.workers)
    print(f"codec: log-mel error {error['error']:.3f} of variance {error['variance']:.3f}")
    for head, groups in reward.items():
        for name, row in groups.items():
            print(
                f"{head:11s} {name:15s} {row.value:6.1%} [{row.low:.1%}, {row.high:.1%}] of {row.pairs} pairs"
            )
    tables = {head: {name: asdict(row) for name, row in groups.items()} for head, groups in reward.items()}
    (options.output / "check.json").write_text(
        json.dumps({"codec": error, "reward": tables}, indent=1) + "\n"
    )


if __name__ == "__main__":
    run(main, Check)
