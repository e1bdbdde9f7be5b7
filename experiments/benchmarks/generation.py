"""Clips per second of MusicGen at its true size: ours, a plain batch, and the loop that everybody writes first.

    python -m experiments.benchmarks.generation                                   # MusicGen-small, 10 clips of 2 s
    python -m experiments.benchmarks.generation --generator lab-musicgen --seconds 5 --dtypes float32
    python -m experiments.benchmarks.generation --generator musicgen-large --dtypes bfloat16 --device cuda

A size such as musicgen-small is built with random weights, which are as fast as the true ones: nothing is
downloaded. Each dtype is measured on its own. In every turn each way has its turn, in alternating order, so that
a machine whose speed drifts slows all of them; ratios are of one turn, and reported with their range over turns.

- ours: all candidates in one batch, each with a random stream of its own, decoded clip by clip: what a pool gets;
- batch: one `generate()` of transformers for all candidates;
- loop: one `generate()` a candidate, timed on the first few.

What the machine can do at best is measured in the same turns, and compared with what our decoding asks of it. The
report says whether arithmetic or memory limits, and which part of the possible speed is reached.
"""

import copy
import dataclasses
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from experiments.benchmarks.generation_report import Timings, report
from experiments.benchmarks.machine_limits import decoding_work, matmul_rate, read_rate
from experiments.benchmarks.random_musicgen import SIZES, TEXT, random_musicgen
from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.generator import MusicGen
from generators.musicgen.loading import load_model
from generators.musicgen.sampling import SamplingOptions
from generators.protocol import Job
from generators.registry import NAMES
from generators.shared.model_folder import check_kind, find_folder
from music.command import refuse_below_one, run
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.prompts import Prompt

_WARM_UP = 0.1  # s; length of the clips that are made before the clock runs


@dataclass(frozen=True)
class GenerationSpeed:
    """Time our MusicGen against transformers' own `generate()`, and against what the machine can do.

    Parameters
    ----------
    generator
        musicgen-tiny, -small, -medium or -large, with random weights; or any MusicGen: a known name or a folder.
    candidates
        Clips of the one prompt.
    seconds
        Length of each clip, s.
    guidance
        Scale of classifier-free guidance; 1 is without.
    dtypes
        Of the decoder, comma-separated: float32, bfloat16. In the batch and the loop the whole model has it.
    turns
        How often each way is timed.
    loop_candidates
        How many of the candidates the loop makes in a turn; all take equally long.
    threads
        Of the CPU; left out, as many as torch takes.
    device
        auto, cpu or cuda.
    matmul
        Rows and columns of the matrices whose product tells what arithmetic the machine can do.
    megabytes
        That are read to tell what its memory can do.
    """

    generator: str = "musicgen-small"
    candidates: int = 10
    seconds: float = 2.0
    guidance: float = 3.0
    dtypes: str = "float32,bfloat16"
    turns: int = 3
    loop_candidates: int = 2
    threads: int | None = None
    device: str = "cpu"
    matmul: int = 2048
    megabytes: int = 512

    def __post_init__(self) -> None:
        """Refuse numbers out of range and unknown types."""
        refuse_below_one(self, "candidates", "turns", "loop_candidates", "threads", "matmul", "megabytes")
        if self.loop_candidates > self.candidates:
            raise InputError(f"--loop_candidates must be at most --candidates, got {self.loop_candidates}")
        for name in self.dtypes.split(","):
            find_dtype(name)


@dataclass(frozen=True)
class Way:
    """A way of making clips.

    Attributes
    ----------
    name
        ours, batch or loop.
    dtype
        By name.
    clips
        How many it makes in a turn.
    make
        Makes them, given their length in s, and returns how many there are.
    """

    name: str
    dtype: str
    clips: int
    make: Callable[[float], int]


class MusicGenWays:
    """The ways of one numeric type; they share what they can of the weights.

    Attributes
    ----------
    decoder
        Ours.

    Parameters
    ----------
    model, tokenizer
        A MusicGen in float32.
    options
        Of the benchmark.
    dtype
        By name.
    """

    def __init__(self, model: Any, tokenizer: Any, options: GenerationSpeed, dtype: str) -> None:
        kind = find_dtype(dtype)
        self._options = options
        self._tokenizer = tokenizer
        self._theirs = self._ours = model
        if kind != torch.float32:
            # as load_model does: text encoder and codec stay in float32
            shared = {id(part): part for part in (model.text_encoder, model.audio_encoder)}
            self._ours = copy.deepcopy(model, shared)
            self._ours.decoder.to(kind)
            self._theirs = copy.deepcopy(model).to(kind)
        self.decoder = self._ours.decoder
        sampling = SamplingOptions(options.guidance)
        conditioner = TextConditioner(self._ours, tokenizer)
        self._generator = MusicGen(
            "benchmark", self._ours, conditioner, "random", sampling, options.candidates
        )
        self._takes = itertools.count()
        self._dtype = dtype
        self._codes: list[torch.Tensor] = []

    def ways(self) -> list[Way]:
        """Return ours, batch and loop."""
        count, few = self._options.candidates, self._options.loop_candidates
        return [
            Way("ours", self._dtype, count, self._make),
            Way("batch", self._dtype, count, lambda seconds: self._plain(count, seconds)),
            Way("loop", self._dtype, few, lambda seconds: sum(self._plain(1, seconds) for _ in range(few))),
        ]

    def codec(self, seconds: float) -> float:
        """Return the seconds in which the clips that were made last are decoded from their codes."""
        began = time.perf_counter()
        for codes in self._codes:
            self._generator.decode_tokens(codes, seconds)
        return time.perf_counter() - began

    def _make(self, seconds: float) -> int:
        # another text each time, so that none is remembered
        prompt = Prompt("speed", f"{TEXT}, take {next(self._takes)}")
        jobs = [Job(prompt, index, index) for index in range(self._options.candidates)]
        samples = list(self._generator.generate(jobs, seconds))
        self._codes = [sample.tokens for sample in samples if sample.tokens is not None]
        return len(samples)

    def _plain(self, count: int, seconds: float) -> int:
        config = self._theirs.config
        text = self._tokenizer([TEXT] * count, return_tensors="pt").to(self._theirs.device)
        audio = self._theirs.generate(
            **text,
            do_sample=True,
            guidance_scale=self._options.guidance,
            top_k=250,
            max_new_tokens=steps_of(config, seconds),
        )
        if audio.shape[-1] < round(seconds * config.audio_encoder.sampling_rate):
            raise RuntimeError(f"generate() made {audio.shape[-1]} samples a clip")
        return len(audio.float().cpu())  # there, so that a GPU has finished when the clock is read


def steps_of(config: Any, seconds: float) -> int:
    """Return how many steps the decoder takes for clips of this length."""
    frames = math.ceil(seconds * config.audio_encoder.frame_rate)
    return DelayPattern(config.decoder.num_codebooks, config.decoder.audio_channels, frames).steps


def load(options: GenerationSpeed) -> tuple[Any, Any]:
    """Return model and tokenizer in float32."""
    device = find_device(options.device)
    if options.generator in SIZES:
        model, tokenizer = random_musicgen(SIZES[options.generator])
        return model.to(device), tokenizer
    source = NAMES.get(options.generator, ("transformers", options.generator))[1]
    folder = find_folder(options.generator, source, ("musicgen",))
    check_kind(folder, ("musicgen",))  # the loader takes melody models too
    return load_model(folder, device, torch.float32)


def timed(
    ways: list[Way], turns: int, seconds: float, warm_up: float | None = _WARM_UP
) -> Iterator[tuple[Way, float]]:
    """Yield each way with the seconds it took, turn by turn, every other turn in reverse order.

    Clips of `warm_up` s are made before the clock runs, None for none.
    """
    if warm_up is not None:
        for way in ways:
            way.make(warm_up)
    for turn in range(turns):
        for way in ways[:: -1 if turn % 2 else 1]:
            began = time.perf_counter()
            made = way.make(seconds)
            took = time.perf_counter() - began
            if made != way.clips:
                raise RuntimeError(f"{way.name} made {made} of {way.clips} clips")
            message = f"turn {turn + 1} of {turns}: {way.dtype} {way.name}: {made} clips in {took:.2f} s"
            print(message, file=sys.stderr, flush=True)
            yield way, took


def main(options: GenerationSpeed) -> None:
    """Time all ways in turns and print the report as JSON."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    model, tokenizer = load(options)
    own = {dtype: MusicGenWays(model, tokenizer, options, dtype) for dtype in options.dtypes.split(",")}
    timings = {dtype: Timings() for dtype in own}
    ways = [way for each in own.values() for way in each.ways()]
    for way, took in timed(ways, options.turns, options.seconds):
        times = timings[way.dtype]
        times.clip[way.name].append(took / way.clips)
        if way.name == "ours":
            times.codec.append(own[way.dtype].codec(options.seconds))
            times.matmul.append(matmul_rate(find_dtype(way.dtype), model.device, options.matmul))
            times.read.append(read_rate(model.device, options.megabytes * 10**6))
    text = TextConditioner(model, tokenizer).padded_length(Prompt("speed", TEXT))
    steps = steps_of(model.config, options.seconds)
    works = {
        dtype: decoding_work(each.decoder, options.candidates, options.guidance > 1, text, steps)
        for dtype, each in own.items()
    }
    setting = {
        "options": dataclasses.asdict(options),
        "device": _name(model.device),
        "threads": torch.get_num_threads(),
        "parameters": model.num_parameters(),
    }
    print(json.dumps({**setting, **report(timings, works, options.candidates, steps)}, indent=1))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    run(main, GenerationSpeed)
