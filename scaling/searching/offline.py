"""A search that is only told, on a pool that exists: which candidates a method would have drawn, and their worth."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from music.errors import InputError
from music.pool import Candidate, Pool
from music.processes import Processes
from reward.scoring.candidates import load_scorers
from scaling.methods.protocol import RoundMethod
from scaling.methods.registry import method_class
from scaling.outcome import Stages
from scaling.searching.compute import CLIP, Prices
from scaling.searching.metrics import by_prompt
from scaling.searching.outcome import SearchOutcome
from scaling.searching.trail import Searched
from scaling.summary import summarise

_WHOLE = Prices(1.0, 0.0, 0.0, "whole clips")  # all that is drawn is finished and scored


def search_in_pool(config: Any, processes: Processes, stages: Stages) -> SearchOutcome:
    """Tell what a method that draws whole candidates would have drawn from a pool; see `search_for_prompts`.

    The pool gets scores that it lacks, and nothing else.

    Raises
    ------
    InputError
        If the pool has fewer candidates than the method asks for.
    """
    pool = Pool(config.from_pool)
    rows = _in_order(pool)
    kind = method_class(config.method)
    with stages.time("load"):
        scorers, reward = load_scorers(config, config.judges)
    method = kind.of(config, config.n or min(map(len, rows.values())))
    assert isinstance(method, RoundMethod)
    with stages.time("score"):
        metrics, _ = by_prompt(scorers, reward, pool, list(rows.values()), processes)
    rewards = {
        name: reward({metric: values[place] for metric, values in metrics.items()})
        for place, name in enumerate(rows)
    }

    def rewards_of(drawn: list[tuple[str, int]]) -> list[float]:
        for name, index in drawn:
            if index >= len(rewards[name]):
                raise InputError(
                    f"{pool.folder} has {len(rewards[name])} candidates for prompt {name!r}, and --method "
                    f"{config.method} would draw another: give at most --n {len(rewards[name])}"
                )
        return [float(rewards[name][index]) for name, index in drawn]

    with stages.time("search"):
        drawn = method.draw(list(rows), rewards_of)
    counts = [len(drawn[name]) for name in rows]
    reference = None
    if len({len(row) for row in rows.values()}) == 1:
        stacked = {metric: np.stack(values) for metric, values in metrics.items()}
        reference = summarise(reward(stacked), stacked, config.seed)["by_n"]
    return SearchOutcome(
        replace(config, prompts=str(config.from_pool)),
        {"method": config.method, **asdict(method)},
        reward,
        scorers,
        pool,
        [row[:count] for row, count in zip(rows.values(), counts, strict=True)],
        [Searched(tuple(range(count)), CLIP * count) for count in counts],
        {},
        {
            metric: [row[:count] for row, count in zip(values, counts, strict=True)]
            for metric, values in metrics.items()
        },
        _WHOLE,
        stages,
        {},
        reference,
    )


def _in_order(pool: Pool) -> dict[str, list[Candidate]]:
    """Return candidates 0, 1, ... of each prompt, as far as none is missing."""
    found: dict[str, list[Candidate]] = {}
    for candidate in pool:  # in canonical order
        row = found.setdefault(candidate.prompt_id, [])
        if candidate.candidate == len(row):
            row.append(candidate)
    if not found:
        raise InputError(f"the pool {pool.folder} is empty")
    for name, row in found.items():
        if not row:
            raise InputError(f"{pool.folder} has no candidate 0 of prompt {name!r}")
    return found
