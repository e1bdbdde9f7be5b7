"""A search with a generator: load what it needs, refuse what cannot be, let the method do its work."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import ceil
from typing import Any

from generators import load_generator
from generators.filling import make_missing, pool_spec, refuse_prompts, warn_of_unsupported
from generators.protocol import Generator, Job
from generators.registry import given_sampling
from generators.stepping import stoppable
from music.distributed.same_inputs import agree_on_prompts
from music.errors import InputError
from music.hashing import candidate_seed
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt, load_prompts
from reward import RewardWeights, Scorer
from reward.scoring.candidates import (
    hashes_of,
    load_scorers,
    refuse_unscorable,
    score_candidates,
    tell_flat,
)
from scaling.methods.protocol import Bench, Method, PromptMethod, RoundMethod, within_budget
from scaling.methods.registry import method_class
from scaling.outcome import Stages
from scaling.searching.compute import CLIP, Course, Prices, prices_of
from scaling.searching.metrics import by_prompt
from scaling.searching.outcome import SearchOutcome
from scaling.searching.prompts import search_prompts, side_by_side
from scaling.searching.timing import Parts
from scaling.searching.trail import Searched, Trail, claim_search, read_looks
from scaling.searching.workshop import Workshop

_OF_BUDGET = 4  # times the budget, as the most candidates of a prompt where draws are shared out


def search_for_prompts(config: Any, processes: Processes, stages: Stages) -> SearchOutcome:
    """Search with a generator; every process of a parallel run calls it.

    Parameters
    ----------
    config
        Options of `scaling.search`.
    processes
        Processes that share the work.
    stages
        Where the time that it takes is told.

    Raises
    ------
    InputError
        If an option cannot be met, or the folder is that of another run; what it holds stays as it is.
    """
    prompts = load_prompts(config.prompts, config.limit)
    agree_on_prompts(processes, prompts)
    pool = Pool(config.output / "pool", create=True)
    pool.check_prompts(prompts)
    with stages.time("load"):
        scorers, weights = load_scorers(config, config.judges)
        refuse_unscorable(scorers, prompts)
        generator = load_generator(
            config.generator, config.backend, config.device, config.dtype, **given_sampling(config)
        )
    refuse_prompts(generator, prompts, config.seconds, config.ignore_unsupported)
    prices = prices_of(config, scorers[0], prompts[0])
    method = method_of(config, generator, scorers[0], prompts[0], prices)
    facts = _facts(config, method, weights, scorers)
    spec = pool_spec(generator, config.seconds)
    if isinstance(method, PromptMethod) and not method.ordinary:
        spec["search"] = facts
    pool.missing(prompts, 1, config.seed, spec, processes)  # refuses the pool of another run
    if processes.is_main:
        claim_search(pool.folder, facts if isinstance(method, PromptMethod) else {"method": config.method})
        warn_of_unsupported(generator, prompts)
    processes.barrier()
    parts = Parts()
    with stages.time("search"):
        if isinstance(method, RoundMethod):
            searched = _in_rounds(config, method, generator, prompts, pool, scorers, weights, processes)
        else:
            assert isinstance(method, PromptMethod)
            bench = Bench(stoppable(generator), weights, config.seconds, config.seed)
            trail = Trail(pool.folder, spec, processes.rank)
            share = ceil(len(prompts) / processes.world_size)  # so that every process has work
            at_once = config.at_once or min(share, side_by_side(method.widths, bench.generator.batch_size))
            workshop = Workshop(bench, scorers[0], parts)
            search_prompts(method, workshop, prompts, pool, spec, trail, processes, at_once)
            searched = [trail.searched[prompt.id] for prompt in prompts]
    known = {candidate.key: candidate for candidate in pool}
    candidates = [
        [known[prompt.id, index] for index in one.candidates]
        for prompt, one in zip(prompts, searched, strict=True)
    ]
    with stages.time("score"):
        metrics, reward = by_prompt(scorers, weights, pool, candidates, processes)
    tell_flat(reward, processes)
    looks = read_looks(pool.folder) if isinstance(method, PromptMethod) else {}
    return SearchOutcome(
        config,
        facts,
        reward,
        scorers,
        pool,
        candidates,
        searched,
        looks,
        metrics,
        prices,
        stages,
        parts.seconds,
    )


def method_of(config: Any, generator: Generator, scorer: Scorer, prompt: Prompt, prices: Prices) -> Method:
    """Return the method as the options ask for it, with as many candidates as there is budget.

    Parameters
    ----------
    config
        Options of `scaling.search`.
    generator
        The generator.
    scorer
        The reward model.
    prompt
        What is made, as long as prompts usually are.
    prices
        What the parts of a clip cost.

    Raises
    ------
    BudgetTooSmallError
        If the budget does not suffice for one candidate.
    InputError
        If the generator cannot be searched in this way.
    """
    kind = method_class(config.method)
    if not issubclass(kind, PromptMethod):
        most = kind.usual_n if config.budget is None else ceil(_OF_BUDGET * config.budget)
        return kind.of(config, config.n or most)
    able = stoppable(generator)
    seed = candidate_seed(config.seed, prompt.id, 0)
    begun = able.begin([Job(prompt, 0, seed)], config.seconds)[0]
    if config.budget is None:
        method = _prompt_method(kind, config, config.n or kind.usual_n)
    else:
        course = Course.of(generator, begun)
        method = within_budget(lambda n: _prompt_method(kind, config, n), config.budget, course, prices)
    method.check(able, begun, scorer)
    if method.finishes < config.keep:
        raise InputError(
            f"--keep must be at most the candidates that are finished, got {config.keep} of {method.finishes}"
        )
    return method


def _prompt_method(kind: type[PromptMethod], config: Any, n: int) -> PromptMethod:
    method = kind.of(config, n)
    assert isinstance(method, PromptMethod)
    return method


def _facts(config: Any, method: Method, reward: RewardWeights, scorers: Sequence[Scorer]) -> dict[str, Any]:
    """Return what decides what is found, as JSON has it."""
    facts: dict[str, Any] = {"method": config.method, **asdict(method)}
    if not isinstance(method, PromptMethod) or method.listens:
        facts["weights"] = {"standardise": reward.standardise, **reward.weights}
        facts["scorers"] = hashes_of(scorers[:1])
    told: dict[str, Any] = json.loads(json.dumps(facts))
    return told


def _in_rounds(
    config: Any,
    method: RoundMethod,
    generator: Generator,
    prompts: Sequence[Prompt],
    pool: Pool,
    scorers: Sequence[Scorer],
    reward: RewardWeights,
    processes: Processes,
) -> list[Searched]:
    """Draw in rounds: make what a round asks for and the pool lacks, score it, ask again."""
    named = {prompt.id: prompt for prompt in prompts}

    def rewards_of(drawn: list[tuple[str, int]]) -> list[float]:
        there = {candidate.key for candidate in pool}
        missing = [
            (named[name], index, candidate_seed(config.seed, name, index))
            for name, index in drawn
            if (name, index) not in there
        ]
        if missing:
            make_missing(generator, missing, config.seconds, pool, processes, len(drawn))
        known = {candidate.key: candidate for candidate in pool}
        metrics = score_candidates(scorers[:1], pool, [[known[key]] for key in drawn], processes)
        return [float(one) for one in reward(metrics)[:, 0]]

    rewards = method.draw(list(named), rewards_of)
    return [Searched(tuple(range(len(rewards[name]))), CLIP * len(rewards[name])) for name in named]
