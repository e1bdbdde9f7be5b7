"""How much memory MusicGen takes on this machine, beside what `scaling.plan` says it will.

    music-reward bench memory --generator musicgen-small --candidates 10 --seconds 2

The weights are random. Taken is the growth of the process's resident memory, from before the model is there to its peak
while a batch is made and its clips are decoded (Linux, ``/proc/self/status``); planned is counted without weights
(`generators.work`). The report is JSON, in bytes; `ratio` is planned over taken.
"""

import gc
import json
from dataclasses import dataclass
from pathlib import Path

from experiments.benchmarks.random_models import MUSICGENS, TEXT, random_musicgen
from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.generator import MusicGen
from generators.musicgen.sampling import SamplingOptions
from generators.musicgen.sizes import shape_of_musicgen
from generators.protocol import Job
from generators.work import GeneratorWork
from music.command import refuse_below_one, run
from music.devices import find_dtype
from music.errors import InputError
from music.prompts import Prompt

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class MemoryTaken:
    """Measure the memory that a MusicGen with random weights takes on the CPU, and compare it with the plan.

    Attributes
    ----------
    generator
        One of the sizes of experiments.benchmarks.random_models, such as musicgen-small.
    candidates
        Number of clips made side by side.
    seconds
        Length of each clip, s.
    dtype
        Numeric type of the decoder: float32 or bfloat16.
    """

    generator: str = "musicgen-small"
    candidates: int = 10
    seconds: float = 2.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse unknown sizes and numbers out of range."""
        refuse_below_one(self, "candidates")
        find_dtype(self.dtype)
        if self.generator not in MUSICGENS or MUSICGENS[self.generator].chroma:
            known = ", ".join(name for name, size in MUSICGENS.items() if not size.chroma)
            raise InputError(f"--generator must be one of {known}, got {self.generator!r}")


def main(options: MemoryTaken) -> None:
    """Measure and print the report."""
    prompt = Prompt("memory", TEXT)
    work = GeneratorWork(
        lambda: shape_of_musicgen(options.generator, options.dtype, options.candidates),
        prompt,
        options.seconds,
    )
    weights = work.weights + work.generator.further_weights("cpu")
    planned = weights + max(work.peak, work.decoding_peak) - work.weights
    gc.collect()
    before = _resident("VmRSS")
    _RESET.write_text("5")  # the peak is counted anew from here
    model, tokenizer = random_musicgen(MUSICGENS[options.generator])
    model.decoder.to(find_dtype(options.dtype))
    generator = MusicGen(
        "memory", model, TextConditioner(model, tokenizer), "random", SamplingOptions(), options.candidates
    )
    jobs = [Job(prompt, index, index) for index in range(options.candidates)]
    made = list(generator.generate(jobs, options.seconds))
    taken = _resident("VmHWM") - before
    report = {"planned": planned, "planned_weights": weights, "taken": taken, "ratio": planned / taken}
    print(json.dumps({"clips": len(made), **report}, indent=1))


def _resident(field: str) -> int:
    """Return a size in bytes that Linux tells of this process."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    run(main, MemoryTaken)
