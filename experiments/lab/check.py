"""Measures what the lab's models can do, on songs and prompts that no training has seen.

    python -m experiments.lab.check      # prints, and writes runs/lab/check/check.json

- reward: share of held-out pairs (`judgements/pairs.py`) ordered as the truth orders them, for musicality and
  alignment, over the four conditions and by kind, with 95 % Wilson intervals; a tie counts half.
- codec: error of the log-mel frames after coding, beside their variance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import torch

from experiments.lab.judgements.pairs import CONDITIONS, clip_of_part, pair
from experiments.lab.options import Suite, Workers
from experiments.lab.pairs import HELD_OUT
from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.world.coded_audio import shipped_codec
from experiments.lab.world.corpus import song
from experiments.lab.world.rendering import RENDERING
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import encode_flac
from music.command import refuse_below_one, run
from music.durable import claim_work, write_json
from music.intervals import Estimate
from music.prompts import Prompt
from reward import load_scorer
from reward.bradley_terry import Accuracy, accuracy_of
from reward.cmi_rm.weights import hash_tensors
from reward.judgements import HEADS
from reward.protocol import Scorer, ScoreRequest

OVERALL = "all conditions"
CHUNK = 20  # pairs that a process makes and scores at a time


@dataclass(frozen=True)
class Check(Suite, Workers):
    """Measure the lab's reward model and codec on held-out songs.

    Parameters
    ----------
    reward
        Reward model to measure: a name (lab-cmi-rm), hub id, folder, or module:Class.
    pairs
        Number of held-out pairs of each kind.
    output
        Folder for `check.json` and what is done of a measurement.
    """

    LIBRARIES: ClassVar = (RENDERING,)
    RENAMED: ClassVar = {"n": "pairs"}

    reward: str = "lab-cmi-rm"
    pairs: int = 200
    output: Path = Path("runs/lab/check")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "pairs")


def agreement(
    scorer: str, codec: SpectralCodecModel, counts: Mapping[str, int], folder: Path, workers: int = 1
) -> dict[str, dict[str, Accuracy]]:
    """Return, for each head and each kind of pair, how often the scorer orders a pair as the truth does.

    Parameters
    ----------
    counts
        Number of held-out pairs of each kind.
    folder
        Folder that keeps what is done, so that a killed measurement goes on.
    workers
        Number of processes that make the audio and score it.
    """
    wanted = [(kind, index) for kind, count in counts.items() for index in range(count)]
    codec_hash = hash_tensors(codec.state_dict())
    claim_work(folder, scorer=_loaded(scorer).hash, codec=codec_hash, counts=dict(counts))
    make = partial(_margins, scorer, codec, wanted)
    margins = cached_rows(make, len(wanted), folder, "margins", workers, CHUNK)
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
    clips = [clip_of_part(row, part, songs, codec) for part in "ab"]
    with TemporaryDirectory() as folder:
        reference = None
        if "reference" in songs:
            reference = Path(folder) / "reference.flac"
            reference.write_bytes(encode_flac(clip_of_part(row, "reference", songs, codec))[0])
        prompt = Prompt(row["id"], row["text"], row["lyrics"], reference)
        a, b = _loaded(scorer).score([ScoreRequest(clip, prompt) for clip in clips])
    signs = {"a": 1.0, "b": -1.0, "": np.nan}
    return np.array([signs[row[f"preference_{head}"]] * (a[head] - b[head]) for head in HEADS])


@cache
def _loaded(scorer: str) -> Scorer:
    """Return the scorer, loaded once in each process."""
    return load_scorer(scorer)


def codec_error(codec: SpectralCodecModel, songs: int = 100) -> dict[str, float]:
    """Return the mean squared error of coded log-mel frames of held-out songs, and their variance."""
    waves = (torch.from_numpy(song("test", "codec", index).waveform()) for index in range(songs))
    frames = torch.cat([codec.frames(wave[None])[0] for wave in waves])
    with torch.no_grad():
        coded = codec.frames_of(codec.codes_of(frames[None]))[0]
    return {"error": (coded - frames).square().mean().item(), "variance": frames.var().item()}


def main(options: Check) -> None:
    """Measure, print and write."""
    codec = shipped_codec(options.suite)
    counts = dict.fromkeys(HELD_OUT, options.pairs)
    reward = agreement(options.reward, codec, counts, options.output / "pairs", options.workers)
    error = codec_error(codec)
    print(f"codec: log-mel error {error['error']:.3f} of variance {error['variance']:.3f}")
    for head, groups in reward.items():
        for name, row in groups.items():
            share = Estimate(row.value, row.low, row.high)
            print(f"{head:11s} {name:15s} {share:.1%} of {row.pairs} pairs")
    tables = {head: {name: asdict(row) for name, row in groups.items()} for head, groups in reward.items()}
    write_json(options.output / "check.json", {"codec": error, "reward": tables})


if __name__ == "__main__":
    run(main, Check)
