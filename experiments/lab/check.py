"""Measures what the lab's models can do, on songs and prompts that no training has seen.

    python -m experiments.lab.check --pool runs/best_of_n/pool      # prints, and writes runs/lab/check/check.json

- reward: share of held-out pairs (`pairs.py`) ordered as the truth orders them, for musicality and alignment, overall
  and by condition, with 95 % Wilson intervals; a tie counts half.
- generator, when a pool is given: whether instrument, drums and tempo can be recognised (`recognition.py`).
- codec: error of the log-mel frames that remains after coding, beside their variance.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.lab.corpus import song
from experiments.lab.pairs import CONDITIONS, write_pairs
from experiments.lab.recognition import recognition
from generators.spectral_codec import SpectralCodecModel
from music.command import run
from music.pool import Pool
from reward import load_scorer
from reward.bradley_terry import Accuracy, accuracy_of
from reward.preferences import HEADS, load_preferences
from reward.protocol import ScoreRequest

OVERALL = "all pairs"


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
        Held-out pairs, a quarter for each condition.
    output
        Folder for the pairs and `check.json`.
    pool
        Clips for prompts with facts, such as the main job's `pool`: what can be recognised in them.
    """

    reward: str = "lab-cmi-rm"
    models: Path = Path("assets/lab")
    n: int = 800
    output: Path = Path("runs/lab/check")
    pool: Path | None = None


def load_shipped_codec(models: Path) -> SpectralCodecModel:
    """Return the codec inside the shipped MusicGen."""
    from transformers import MusicgenForConditionalGeneration

    model = MusicgenForConditionalGeneration.from_pretrained(models / "musicgen", dtype=torch.float32)
    return model.audio_encoder.eval()


def agreement(scorer: str, rows: Path) -> dict[str, dict[str, Accuracy]]:
    """Return, for each head and each condition, how often the scorer orders a pair as the truth does."""
    pairs = load_preferences(rows)
    requests = [ScoreRequest(audio, pair.prompt) for pair in pairs for audio in (pair.audio_a, pair.audio_b)]
    scores = load_scorer(scorer).score(requests)
    found: dict[str, dict[str, Accuracy]] = {}
    for head in HEADS:
        differences = [a[head] - b[head] for a, b in zip(scores[::2], scores[1::2], strict=True)]
        found[head] = {}
        for name in (OVERALL, *CONDITIONS):
            rows_of = [i for i, pair in enumerate(pairs) if name in (OVERALL, pair.prompt.facts["condition"])]
            labels = [getattr(pairs[i], head) for i in rows_of]
            found[head][name] = accuracy_of([differences[i] for i in rows_of], labels)
    return found


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
    codec = load_shipped_codec(options.models)
    rows = write_pairs(options.output, "test", options.n, codec)
    error, reward = codec_error(codec), agreement(options.reward, rows)
    print(f"codec: log-mel error {error['error']:.3f} of variance {error['variance']:.3f}")
    for head, groups in reward.items():
        for name, row in groups.items():
            print(
                f"{head:10s} {name:15s} {row.value:6.1%} [{row.low:.1%}, {row.high:.1%}] of {row.pairs} pairs"
            )
    heard = recognition(codec, Pool(options.pool)) if options.pool else {}
    for fact, shares in heard.items():
        for name, share in shares.items():
            low, high = share["ci95"]
            print(
                f"{fact:10s} {name:15s} {share['share']:6.1%} [{low:.1%}, {high:.1%}] of {share['clips']} clips"
            )
    tables = {head: {name: asdict(row) for name, row in groups.items()} for head, groups in reward.items()}
    (options.output / "check.json").write_text(
        json.dumps({"codec": error, "reward": tables, "heard": heard}, indent=1) + "\n"
    )


if __name__ == "__main__":
    run(main, Check)
