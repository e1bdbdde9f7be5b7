"""Measures what the lab's models can do, on songs and prompts that no training has seen.

    python -m experiments.lab.check      # prints, and writes runs/lab/check/check.json

- reward: share of held-out pairs (`pairs.py`) ordered as the truth orders them, for musicality and alignment, over the
  four conditions and by kind, with 95 % Wilson intervals; a tie counts half.
- codec: error of the log-mel frames that remains after coding, beside their variance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from experiments.lab.pairs import CONDITIONS, HELD_OUT, clip_of, pair
from experiments.lab.workers import cached_rows, cores
from experiments.lab.world.coded_audio import shipped_codec
from experiments.lab.world.corpus import song
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import encode_flac
from music.command import refuse_below_one, run
from music.durable import claim_work
from music.prompts import Prompt
from music.shipped_files import LAB
from reward import load_scorer
from reward.bradley_terry import Accuracy, accuracy_of
from reward.cmi_rm.towers import hash_tensors
from reward.judgements import HEADS
from reward.protocol import Scorer, ScoreRequest

OVERALL = "all conditions"
CHUNK = 20  # pairs that a process makes and scores at a time


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
        Folder for `check.json` and what is done of a measurement.
    workers
        Processes that work side by side.
    """

    reward: str = "lab-cmi-rm"
    models: Path = LAB
    n: int = 200
    output: Path = Path("runs/lab/check")
    workers: int = cores()

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "workers")


def agreement(
    scorer: str, codec: SpectralCodecModel, counts: Mapping[str, int], folder: Path, workers: int = 1
) -> dict[str, dict[str, Accuracy]]:
    """Return, for each head and each kind of pair, how often the scorer orders a pair as the truth does.

    Parameters
    ----------
    counts
        Held-out pairs of each kind.
    folder
        Keeps what is done, so that a killed measurement goes on.
    workers
        Processes that make the audio and score it.
    """
    wanted = [(kind, index) for kind, count in counts.items() for index in range(count)]
    claim_work(
        folder,
        scorer=_loaded(scorer).hash,
        codec=hash_tensors(codec.state_dict()),
        counts=dict(counts),
    )
    margins = cached_rows(
        partial(_margins, scorer, codec, wanted), len(wanted), folder, "margins", workers, CHUNK
    )
    kinds = np.array([kind for kind, _ in wanted])
    found: dict[str, dict[str, Accuracy]] = {}
    for column, head in enumerate(HEADS):
        found[head] = {}
        for name in (OVERALL, *counts):
            judged = margins[np.isin(kinds, CONDITIONS if name == OVERALL else (name,)), column]
            judged = judged[~np.isnan(judged)]
            if len(judged):
                found[head][name] = accuracy_of(judged.tolist(), ["a"] * len(judged))
    return found


def _margins(
    scorer: str, codec: SpectralCodecModel, wanted: Sequence[tuple[str, int]], number: int
) -> np.ndarray:
    """Return by how much each head prefers the clip that is truly the better one; NaN where none is."""
    row, songs = pair("test", *wanted[number])
    clips = {part: clip_of(songs[part], codec if row["facts"]["coded"] else None) for part in "ab"}
    with TemporaryDirectory() as folder:
        reference = None
        if "reference" in songs:
            reference = Path(folder) / "reference.flac"
            reference.write_bytes(encode_flac(clip_of(songs["reference"], None))[0])
        prompt = Prompt(row["id"], row["text"], row["lyrics"], reference)
        a, b = _loaded(scorer).score([ScoreRequest(clip, prompt) for clip in clips.values()])
    signs = {"a": 1.0, "b": -1.0, "": np.nan}
    return np.array([signs[row[f"preference_{head}"]] * (a[head] - b[head]) for head in HEADS])


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
    counts = dict.fromkeys(HELD_OUT, options.n)
    reward = agreement(options.reward, codec, counts, options.output / "pairs", options.workers)
    error = codec_error(codec)
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
