"""Clips per second of MusicGen at its true size: ours, a plain batch, and the loop that everyone writes first.

    python -m experiments.benchmarks.generation                                   # MusicGen-small, 10 clips of 2 s
    python -m experiments.benchmarks.generation --generator lab-musicgen --seconds 5 --dtypes float32
    python -m experiments.benchmarks.generation --generator musicgen-large --dtypes bfloat16 --device cuda

A size such as musicgen-small is built with random weights, which are as fast as the true ones: nothing is
downloaded. Each numeric type is measured by itself. In every turn each way has its turn, in alternating order, so that
a machine whose speed drifts slows all of them; ratios are taken within a turn, and reported with their range.

- ours: all candidates in one batch, each with a random stream of its own, decoded clip by clip: what a pool gets;
- batch: one `generate()` of transformers for all candidates;
- loop: one `generate()` for each candidate, timed on the first few.

What the machine can do at best is measured in the same turns, and compared with what our decoding asks of it. The
report says whether arithmetic or memory is the limit, and what share of the possible speed is reached.
"""

import copy
import dataclasses
import itertools
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import torch

from experiments.benchmarks.generation_report import Timings, report
from experiments.benchmarks.machine_limits import decoding_work, matmul_rate, read_rate
from experiments.benchmarks.random_models import MUSICGENS, TEXT, random_musicgen
from experiments.benchmarks.timing import Timing, Way, timed
from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.generator import MusicGen
from generators.musicgen.loading import load_model
from generators.musicgen.sampling import SamplingOptions
from generators.protocol import Job
from generators.registry import NAMES
from generators.shared.model_folder import check_kind, find_folder
from music.command import refuse_below_one, run, split_names
from music.devices import find_dtype
from music.errors import InputError
from music.prompts import Prompt
from music.provenance import device_name


@dataclass(frozen=True, kw_only=True)
class GenerationSpeed(Timing):
    """Time our MusicGen against transformers' own `generate()`, and against what the machine can do.

    Parameters
    ----------
    generator
        MusicGen to time: musicgen-tiny, -small, -medium or -large, with random weights; or a known name or a folder.
    candidates
        Number of clips of the one prompt.
    seconds
        Length of each clip, s.
    guidance
        Scale of classifier-free guidance; 1 is without.
    dtypes
        Numeric types of the decoder, separated by commas: float32, bfloat16. In the batch and the loop the whole model
        has the type.
    loop_candidates
        Number of the candidates that the loop makes in a turn; all take equally long.
    megabytes
        Megabytes that are read to tell what the machine's memory can do.
    """

    generator: str = "musicgen-small"
    candidates: int = 10
    seconds: float = 2.0
    guidance: float = 3.0
    dtypes: str = "float32,bfloat16"
    turns: int = 3
    loop_candidates: int = 2
    megabytes: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "candidates", "loop_candidates", "megabytes")
        if self.loop_candidates > self.candidates:
            raise InputError(f"--loop_candidates must be at most --candidates, got {self.loop_candidates}")
        for name in split_names(self.dtypes):
            find_dtype(name)


class MusicGenWays:
    """The ways of one numeric type, of a MusicGen in float32; they share what they can of its weights.

    Attributes
    ----------
    decoder
        Our decoder.
    """

    def __init__(self, model: Any, tokenizer: Any, options: GenerationSpeed, dtype: str) -> None:
        self._options, self._tokenizer, self._dtype = options, tokenizer, dtype
        self._theirs = ours = model
        if dtype != "float32":
            # as load_model does: text encoder and codec stay in float32
            shared = {id(part): part for part in (model.text_encoder, model.audio_encoder)}
            ours = copy.deepcopy(model, shared)
            ours.decoder.to(find_dtype(dtype))
            self._theirs = copy.deepcopy(model).to(find_dtype(dtype))
        self.decoder = ours.decoder
        sampling, conditioner = SamplingOptions(options.guidance), TextConditioner(ours, tokenizer)
        self._generator = MusicGen("benchmark", ours, conditioner, "random", sampling, options.candidates)
        self._takes = itertools.count()
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
        guidance, steps = self._options.guidance, steps_of(config, seconds)
        audio = self._theirs.generate(
            **text, do_sample=True, guidance_scale=guidance, top_k=250, max_new_tokens=steps
        )
        if audio.shape[-1] < round(seconds * config.audio_encoder.sampling_rate):
            raise RuntimeError(f"generate() made {audio.shape[-1]} samples a clip")
        return len(audio.float().cpu())  # there, so that a GPU has finished when the clock is read


def steps_of(config: Any, seconds: float) -> int:
    """Return how many steps the decoder takes for clips of this length."""
    frames = math.ceil(seconds * config.audio_encoder.frame_rate)
    return DelayPattern(config.decoder.num_codebooks, config.decoder.audio_channels, frames).steps


def load(options: GenerationSpeed, device: torch.device) -> tuple[Any, Any]:
    """Return model and tokenizer in float32."""
    if options.generator in MUSICGENS:
        model, tokenizer = random_musicgen(MUSICGENS[options.generator])
        return model.to(device), tokenizer
    source = NAMES.get(options.generator, ("transformers", options.generator))[1]
    folder = find_folder(options.generator, source, ("musicgen",))
    check_kind(folder, ("musicgen",))  # the loader takes melody models too
    return load_model(folder, device, torch.float32)


def main(options: GenerationSpeed) -> None:
    """Time all ways in turns and print the report as JSON."""
    model, tokenizer = load(options, options.start())
    own = {dtype: MusicGenWays(model, tokenizer, options, dtype) for dtype in split_names(options.dtypes)}
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
        "device": device_name(str(model.device)),
        "threads": torch.get_num_threads(),
        "parameters": model.num_parameters(),
    }
    print(json.dumps({**setting, **report(timings, works, options.candidates, steps)}, indent=1))


if __name__ == "__main__":
    run(main, GenerationSpeed)
