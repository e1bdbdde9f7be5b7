"""The scorers of a job, and their scores of all candidates."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from music.command import split_names
from music.errors import InputError
from music.intervals import Array
from music.pool import Candidate, Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import RewardWeights, Scorer, load_scorer, score_pool
from reward.baselines.side_by_side import parts_of
from reward.composition import load_composed


def load_scorers(options: Any, judges: str = "") -> tuple[list[Scorer], RewardWeights]:
    """Load the reward model that the options of a command name, then judges, and the weights of the reward.

    Raises
    ------
    InputError
        If the reward model lacks a metric of the reward, or two metrics would be called the same (`metric_names`).
    """
    scorer, reward = load_composed(options)
    scorers = [scorer, *(load_scorer(name, options.device, options.dtype) for name in split_names(judges))]
    metric_names(scorers)
    return scorers, reward


def hashes_of(scorers: Sequence[Scorer]) -> dict[str, str]:
    """Return the hash of each scorer by its name, as its scores have it beside a pool."""
    return {part.name: part.hash for scorer in scorers for part, _ in parts_of(scorer)}


def tell_flat(reward: RewardWeights, processes: Processes, place: object = "") -> None:
    """Say once which standardised metrics of a reward contribute nothing to it, in a place if it has a name."""
    where = f" in {place}" if place else ""
    for name in reward.flat if processes.is_main else []:
        print(f"note: {name} does not vary{where}: standardised, it contributes nothing", file=sys.stderr)


def refuse_unscorable(scorers: Sequence[Scorer], prompts: Iterable[Prompt]) -> None:
    """Refuse prompts of which a scorer could score no clip, before any is made.

    Raises
    ------
    InputError
        For the first of them; it names the scorer too.
    """
    for prompt in prompts:
        for scorer in scorers:
            try:
                scorer.check_prompt(prompt)
            except InputError as error:
                raise InputError(
                    f"{scorer.name} cannot score clips of prompt {prompt.id!r}: {error}"
                ) from error


def metric_names(scorers: Sequence[Scorer]) -> list[dict[str, str]]:
    """Return what tables call each scorer's metrics: as it does, or a judge's `JUDGE.metric` if another has it too.

    Parameters
    ----------
    scorers
        The reward model, then the judges.

    Raises
    ------
    InputError
        If the reward model has a metric "reward", or two scorers share their own name and a metric.
    """
    if "reward" in scorers[0].metrics:
        raise InputError(f"{scorers[0].name} calls a metric 'reward': that is the name of the weighted sum")
    counts = Counter(["reward", *(metric for scorer in scorers for metric in scorer.metrics)])
    names: list[dict[str, str]] = []
    for place, scorer in enumerate(scorers):
        own = {
            metric: f"{scorer.name}.{metric}" if place and counts[metric] > 1 else metric
            for metric in scorer.metrics
        }
        taken = {name for others in names for name in others.values()}
        if taken & {*own.values()} or any(
            one.name == scorer.name and {*one.metrics} & {*scorer.metrics} for one in scorers[:place]
        ):
            raise InputError(
                f"two scorers are called {scorer.name!r} and have the same metrics: name each once, "
                "and give folders of models another name"
            )
        names.append(own)
    return names


def score_candidates(
    scorers: Sequence[Scorer],
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    processes: Processes,
    leave_out: bool = False,
) -> dict[str, Array]:
    """Return each metric of each candidate by its name in tables, `[P, N]`, scoring what is not scored yet.

    Scorers that stand side by side keep their scores apart, so that each scores once, whatever it is combined with.

    Parameters
    ----------
    scorers
        The reward model, then the judges.
    pool
        Pool with the candidates.
    candidates
        N candidates of each of P prompts.
    processes
        Processes that share the work.
    leave_out
        Whether a prompt of which a judge cannot score a candidate, perhaps because it has no lyrics, is NaN in that
        judge's metrics (and reported); by default it is an error.

    Raises
    ------
    InputError
        If a candidate was changed or cannot be scored.
    """
    flat = [candidate for row in candidates for candidate in row]
    pool.verify(processes.shard(flat))
    metrics: dict[str, Array] = {}
    called = metric_names(scorers)
    placed = [(place, *part) for place, scorer in enumerate(scorers) for part in parts_of(scorer)]
    for place, scorer, own in placed:
        names = {metric: called[place][name] for metric, name in own.items()}
        table = score_pool(pool, scorer, flat, processes, _reporter(scorer) if leave_out and place else None)
        unscored = {candidate.prompt_id for candidate in table.missing(flat)}
        known = np.array([row[0].prompt_id not in unscored for row in candidates])
        scores = table.table([candidate for candidate in flat if candidate.prompt_id not in unscored])
        for metric, name in names.items():
            metrics[name] = np.full((len(candidates), len(candidates[0])), np.nan)
            metrics[name][known] = np.reshape([one[metric] for one in scores], (-1, len(candidates[0])))
    return metrics


def _reporter(scorer: Scorer) -> Callable[[Candidate, InputError], None]:
    """Return a function that reports each prompt that a judge cannot score, once."""
    from tqdm import tqdm

    told = set()

    def tell(candidate: Candidate, error: InputError) -> None:
        if candidate.prompt_id not in told:
            told.add(candidate.prompt_id)
            tqdm.write(f"left out: {scorer.name} on prompt {candidate.prompt_id!r}: {error}", file=sys.stderr)

    return tell
