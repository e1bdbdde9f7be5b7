"""How much wall time pruning saves at true size, beside best of n, and how much it should by its FLOP.

    python -m experiments.benchmarks.search                 # MusicGen-small and CMI-RM, 10 candidates of 5 s
    python -m experiments.benchmarks.search --prompts 8     # as in a run over many prompts: fuller batches
    python -m experiments.benchmarks.search --device cuda --prompts 8 --turns 3

Generator and reward model have the published shapes and random weights, which are as fast as the true ones: nothing is
downloaded. Both methods, `random` (which is best of n) and `prune`, are those of `scaling.search`, done by its workshop
(`scaling.searching.workshop`) from the first step to the scores of the finished clips; only files are not written. They
take turns in alternating order, and ratios are taken within a turn. `processor_seconds` are those of all threads, which
depend less on what else the machine does (`OMP_WAIT_POLICY=passive` leaves out those of waiting). What prune finishes
must have the tokens that best of n has given it, to the bit, or its time means nothing.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

import torch

from experiments.benchmarks.random_models import MUSICGENS, TEXT, TOWERS, random_musicgen
from experiments.benchmarks.scoring import random_cmi_rm
from experiments.benchmarks.timing import Turns, Way, over_turns, refuse_unknown, timed
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
from music.provenance import device_name
from reward import RewardWeights, ScoreRequest
from reward.cmi_rm.scorer import CMIRMScorer
from reward.cmi_rm.sizes import shape_of_cmi_rm
from reward.scoring.in_memory import score_clips
from reward.work import RewardWork
from scaling.compute.clip import ClipCompute
from scaling.methods.protocol import Bench, PromptMethod
from scaling.methods.registry import method_class
from scaling.search import Search
from scaling.searching.compute import Course, Prices, counted_prices
from scaling.searching.prompts import side_by_side
from scaling.searching.timing import Parts
from scaling.searching.workshop import Workshop, as_written, chunks

BEST_OF_N, PRUNE = "random", "prune"
_WARM_UP = 0.1  # s


@dataclass(frozen=True, kw_only=True)
class SearchTime(Turns):
    """Time prune against best of n: generation, decoding, scoring, and all of it.

    Parameters
    ----------
    generator
        MusicGen with random weights: musicgen-tiny, -small, -medium or -large.
    towers
        Size of the towers of the reward model: muq-mulan-large or muq-mulan-tiny.
    prompts
        Number of prompts; those that fill a batch together are searched side by side, as in a search.
    candidates
        Number of candidates of each prompt.
    seconds
        Length of each clip, s.
    schedule
        Schedule of prune, as for scaling.search.
    batch_size
        Clips that are generated at once.
    dtype
        Numeric type of generator and reward model: float32 or bfloat16.
    """

    generator: str = "musicgen-small"
    towers: str = "muq-mulan-large"
    prompts: int = 1
    candidates: int = 10
    seconds: float = 5.0
    schedule: str = Search.schedule
    batch_size: int = 16
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "prompts", "candidates", "batch_size")
        find_dtype(self.dtype)
        refuse_unknown(self, "generator", [name for name, size in MUSICGENS.items() if not size.chroma])
        refuse_unknown(self, "towers", TOWERS)
        if not 0.1 <= self.seconds <= 30:
            raise InputError(f"--seconds must lie between 0.1 and 30, got {self.seconds}")
        self.method(PRUNE)

    def method(self, name: str) -> PromptMethod:
        """Return a method of search."""
        found = method_class(name).of(self, self.candidates)
        assert isinstance(found, PromptMethod)
        return found


class Searches:
    """Both methods over the same prompts, generator and reward.

    Attributes
    ----------
    parts
        Seconds of the parts of the work, and of the processor for all of it, one dict a turn, by method.
    tokens
        Tokens of the candidates that were finished, by prompt id and index.
    course
        How a clip comes about.
    """

    def __init__(self, options: SearchTime, device: torch.device) -> None:
        model, tokenizer = random_musicgen(MUSICGENS[options.generator])
        model.decoder.to(find_dtype(options.dtype))
        conditioner = TextConditioner(model.to(device), tokenizer)
        generator = MusicGen("benchmark", model, conditioner, "random", SamplingOptions(), options.batch_size)
        self._options = options
        self._scorer = CMIRMScorer(random_cmi_rm(options.towers, options.dtype), device=options.device)
        self._bench = Bench(generator, RewardWeights(), options.seconds, 0)
        self._prompts = [Prompt(str(place), f"{TEXT}, take {place}") for place in range(options.prompts)]
        self.tokens: dict[tuple[str, int], torch.Tensor] = {}
        self.parts: dict[str, list[dict[str, float]]] = {BEST_OF_N: [], PRUNE: []}
        jobs = [Job(prompt, 0, 0) for prompt in self._prompts]
        self.course = Course.of(generator, generator.begin(jobs, options.seconds)[0])
        # before the clock runs: texts are encoded, weights laid out, libraries settled
        for sample in generator.generate(jobs, max(_WARM_UP, 1 / generator.sample_rate)):
            self._scorer.score([ScoreRequest(sample.clip, sample.job.prompt)])

    def ways(self) -> list[Way]:
        """Return best of n and prune; each makes so many clips."""
        return [self._way(name) for name in (BEST_OF_N, PRUNE)]

    def _way(self, name: str) -> Way:
        method = self._options.method(name)
        return Way(
            name,
            self._options.dtype,
            method.finishes * len(self._prompts),
            lambda _: self._search(method, name),
        )

    def _search(self, method: PromptMethod, name: str) -> int:
        """Search all prompts, and return how many clips were finished, decoded and scored."""
        self._scorer.forget()
        workshop, scorer = Workshop(self._bench, self._scorer, Parts()), self._scorer
        at_once = min(len(self._prompts), side_by_side(method.widths, self._options.batch_size))
        made, began = [], time.process_time()
        for chunk in chunks(self._prompts, at_once):
            for result in workshop.search(method, chunk):
                samples = [workshop.sample(partial) for partial in result.found.finished.values()]
                requests = [ScoreRequest(as_written(one.clip), result.prompt) for one in samples]
                workshop.timed("scoring", lambda: score_clips(scorer, requests))  # noqa: B023 - called at once
                made += samples
        processor = time.process_time() - began
        self.parts[name].append({**workshop.timed.seconds, "processor_seconds": processor})
        for sample in made:
            tokens = sample.tokens
            assert tokens is not None
            key = sample.job.prompt.id, sample.job.candidate
            if not torch.equal(self.tokens.setdefault(key, tokens), tokens):
                raise InputError(
                    f"{name} made another candidate {key[1]} of prompt {key[0]!r} than the turn before: these times "
                    "mean nothing"
                )
        return len(made)


def counted(options: SearchTime) -> Prices:
    """Return what the parts of a clip cost, by FLOP, counted without weights."""
    prompt = Prompt("counted", TEXT)
    generator = GeneratorWork(
        lambda: shape_of_musicgen(options.generator, options.dtype, options.batch_size),
        prompt,
        options.seconds,
    )
    made = generator.generator
    reward = RewardWork(
        lambda: shape_of_cmi_rm(TOWERS[options.towers]), prompt, made.sample_rate, made.channels
    )
    return counted_prices(ClipCompute(generator, reward), options.seconds)


def main(options: SearchTime) -> None:
    """Time both in turns and print the report as JSON."""
    device = options.start()
    searches, prices = Searches(options, device), counted(options)
    took: dict[str, list[float]] = {BEST_OF_N: [], PRUNE: []}
    for way, seconds in timed(searches.ways(), options.turns, options.seconds, None):
        took[way.name].append(seconds)
    report = {
        "options": dataclasses.asdict(options),
        "device": device_name(str(device)),
        "threads": torch.get_num_threads(),
        **{name: _told(took[name], searches.parts[name]) for name in took},
        "prune_over_best_of_n": {
            "seconds": _shares(took[PRUNE], took[BEST_OF_N]),
            **{
                part: _shares(*([one[part] for one in searches.parts[name]] for name in (PRUNE, BEST_OF_N)))
                for part in searches.parts[PRUNE][0]
            },
        },
        "by_flop": _by_flop(options, searches.course, prices),
    }
    print(json.dumps(report, indent=1))


def _told(took: list[float], parts: list[dict[str, float]]) -> dict[str, Any]:
    """Return the seconds of a method, and of its parts."""
    return {
        "seconds": over_turns(took),
        **{part: over_turns([one[part] for one in parts]) for part in parts[0]},
    }


def _shares(few: list[float], all_of_it: list[float]) -> dict[str, float]:
    return over_turns([one / other for one, other in zip(few, all_of_it, strict=True)])


def _by_flop(options: SearchTime, course: Course, prices: Prices) -> dict[str, Any]:
    """Return what prune should take beside best of n, were each FLOP equally fast and no row of a batch empty."""
    few, whole = (options.method(name).work(course) for name in (PRUNE, BEST_OF_N))
    return {
        "seconds": prices.clips(few) / prices.clips(whole),
        **{
            part.name: getattr(few, part.name) / getattr(whole, part.name) for part in dataclasses.fields(few)
        },
        "prices": prices.record(),
    }


if __name__ == "__main__":
    run(main, SearchTime)
