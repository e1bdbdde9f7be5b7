"""Hours of audio that the towers encode in an hour, and what their output takes on disk.

    python -m experiments.benchmarks.embedding                      # the lab's towers, and those of MuQ-MuLan-large
    python -m experiments.benchmarks.embedding --towers lab-mulan --seconds 5 --clips 20
    python -m experiments.benchmarks.embedding --towers muq-mulan-large --device cuda --clips 64 --turns 3

muq-mulan-large is built with random weights, which are as fast as the true ones: nothing is downloaded. The clips are
noise, and pass from the samples to the shard on disk as in `reward.embed`, except that no file is decoded. In every
turn each numeric type has its turn; the machine's best product of matrices is measured in the same turns, and tells
how long the counted arithmetic would take at least.
"""

import dataclasses
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.machine_limits import count_flop, matmul_rate
from experiments.benchmarks.random_models import TOWERS, random_towers
from experiments.benchmarks.timing import Timing, over_turns, refuse_unknown
from music.clips import Clip
from music.command import refuse_below_one, run, split_names
from music.errors import InputError
from reward.cmi_rm.checkpoint import load_towers
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import FRAMES_PER_SECOND, MAX_SECONDS, Towers
from reward.training.embeddings import DTYPES, EmbeddingStore

_LAB = "lab-mulan"
_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class EmbeddingSpeed(Timing):
    """Time the audio tower and the writing of what it gives.

    Parameters
    ----------
    towers
        Towers to time: lab-mulan, muq-mulan-large and muq-mulan-tiny, separated by commas.
    clips
        Number of clips that are encoded in a turn.
    seconds
        Length of each clip, s.
    """

    towers: str = f"{_LAB},muq-mulan-large"
    clips: int = 2
    seconds: float = 10.0
    turns: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "clips")
        if not 0.1 <= self.seconds <= MAX_SECONDS:
            raise InputError(f"--seconds must lie between 0.1 and {MAX_SECONDS:g}, got {self.seconds}")
        refuse_unknown(self, "towers", (_LAB, *TOWERS))


def main(options: EmbeddingSpeed) -> None:
    """Time all towers and print the report as JSON."""
    device = options.start()
    found = {name: measure(name, options, device) for name in split_names(options.towers)}
    facts = {"options": dataclasses.asdict(options), "threads": torch.get_num_threads()}
    print(json.dumps(facts | found, indent=1))


def measure(name: str, options: EmbeddingSpeed, device: torch.device) -> dict[str, Any]:
    """Return what was found of one pair of towers."""
    took: dict[str, list[float]] = {dtype: [] for dtype in _DTYPES}
    rates: dict[str, list[float]] = {dtype: [] for dtype in _DTYPES}
    towers = {dtype: build(name, dtype).to(device) for dtype in _DTYPES}
    samples = round(options.seconds * towers["float32"].sample_rate)
    generator = torch.Generator().manual_seed(0)
    clips = [Clip(0.1 * torch.randn(1, samples, generator=generator), 24_000) for _ in range(options.clips)]
    for turn in range(options.turns):
        for dtype in _DTYPES[:: -1 if turn % 2 else 1]:
            if turn == 0:
                towers[dtype].encode_audio(clips[0])  # before the clock runs
            took[dtype].append(timed(towers[dtype], clips))
            rates[dtype].append(matmul_rate(DTYPES[dtype], device, options.matmul))
    hours = options.clips * options.seconds / 3600
    flop = options.clips * count_flop(lambda: towers["float32"].encode_audio(clips[0]))
    dim = towers["float32"].dim
    return {
        "parameters": sum(parameter.numel() for parameter in towers["float32"].parameters()),
        "gflop_per_10_s": round(flop / options.clips / options.seconds / 1e8, 2),
        "gigabytes_per_1000_h": {
            dtype: 1000 * 3600 * FRAMES_PER_SECOND * dim * kind.itemsize / 1e9
            for dtype, kind in DTYPES.items()
        },
        **{
            dtype: {
                "audio_hours_per_hour": over_turns([3600 * hours / each for each in took[dtype]]),
                "machine_gflop_per_s": round(statistics.median(rates[dtype]) / 1e9, 1),
                "of_the_machine": over_turns(
                    [flop / rate / each for each, rate in zip(took[dtype], rates[dtype], strict=True)]
                ),
            }
            for dtype in _DTYPES
        },
    }


def build(name: str, dtype: str) -> Towers:
    """Return the lab's towers, or random ones of a size."""
    return load_towers(_LAB, Locator(), dtype=dtype) if name == _LAB else random_towers(TOWERS[name], dtype)


def timed(towers: Towers, clips: list[Clip]) -> float:
    """Return the seconds in which clips are encoded and written to disk."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        store = EmbeddingStore(Path(folder), "speed")
        for index, clip in enumerate(clips):
            store.add(("audio", str(index)), towers.encode_audio(clip))
        store.flush()
        return time.perf_counter() - began


if __name__ == "__main__":
    run(main, EmbeddingSpeed)
