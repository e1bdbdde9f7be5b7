"""What every judge of audio looks like: CMI-RM, baselines, ensembles, LLM judges, the lab's gold.

A scorer is handed requests (one piece of audio and the prompt it was made for) and returns one number for each of its
metrics. The numbers of a request never depend on its neighbours.

How sure a scorer is of a metric may be a metric too: ``NAME_spread``, a standard deviation, and ``NAME_chance_K``, the
chance that a rating has level K. Of these, more is not better (`judging`).

Two scorers may check each other only if they hear with different features (`are_independent`): a generator that
learned to please one of them may please another that shares its features in the same way, without better music.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from music.clips import Clip
from music.devices import exact_float32
from music.errors import InputError, ServiceError
from music.prompts import Prompt
from reward.hearing import Hearing

_OF_ANOTHER = re.compile(r"(.+)_(?:spread|chance_\d+)")
MUQ = "MuQ"  # every training of it, that of MuQ-MuLan included


@dataclass(frozen=True, eq=False)
class ScoreRequest:
    """One piece of audio to judge.

    Attributes
    ----------
    audio
        A file, or a clip in memory.
    prompt
        What the audio was made for. Its text may be empty here: a scorer then judges the audio alone.
    """

    audio: Path | Clip
    prompt: Prompt


class BrokenScorerError(ServiceError):
    """A scorer does not give what it announces: no request fares better than another."""


class Scorer(ABC):
    """A judge of audio, with defaults for all that it need not say.

    A class of anybody's need not inherit this: `reward.plug_ins.PlugIn` takes any object with `name`, `metrics`, `hash`
    and `score`.

    Attributes
    ----------
    name : str
        Short, safe as a file name; scores of a pool lie in ``scores/<name>.jsonl``.
    metrics : tuple of str
        Names of what it measures, such as ``("musicality", "alignment")``.
    hash : str
        SHA-256 over everything that decides its scores: weights, configuration, numeric type, library versions. Scores
        with different hashes are never mixed.
    higher_is_better : bool
        Whether more of each metric is better. If not, its metrics describe a clip and do not judge it.
    takes_clips : bool
        Whether it may be handed clips in memory, which are then decoded ahead of it, and not only files.
    max_seconds : float or None
        Length of the beginning of audio that is heard, s; None for the whole.
    batch_size : int
        Least number of requests that it should be handed at a time, whatever the device.
    features : tuple of str
        Trained networks that it hears with, such as ``("MuQ",)``; if empty, it shares them with its own kind only.
    twins : mapping of str to str
        For each of its metrics that another judge measures as well, in other ears, the name of that judge's metric.
    hears : tuple of Hearing
        What its models are given of a clip, which is told beside scores; if empty, no more is known than `max_seconds`.
    """

    name: str
    metrics: tuple[str, ...]
    hash: str
    higher_is_better: bool = True
    takes_clips: bool = False
    max_seconds: float | None = None
    batch_size: int = 1
    features: tuple[str, ...] = ()
    twins: Mapping[str, str] = MappingProxyType({})
    hears: tuple[Hearing, ...] = ()

    def check_prompt(self, prompt: Prompt) -> None:
        """Refuse a prompt for which no clip could be scored: one without the lyrics that it needs, or the like.

        Runs ask this of all prompts before anything is made; what it takes, `score` may still find to be wrong.

        Raises
        ------
        InputError
            If the prompt lacks something.
        """
        return

    @abstractmethod
    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return one ``{metric: value}`` for each request, in order.

        Raises
        ------
        InputError
            If a request cannot be scored (unreadable or too short audio).
        """


def scores_of(scorer: Scorer, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
    """Return what a scorer says of requests, as Python's floats.

    Raises
    ------
    InputError
        If a request cannot be scored, or what it gets is no finite number.
    BrokenScorerError
        If there are not as many scores as requests, or of other metrics than the scorer announces.
    """
    with exact_float32():
        given = scorer.score(requests)
    try:
        found = [dict(scores) for scores in given]
    except (TypeError, ValueError) as error:
        raise BrokenScorerError(
            f"scorer {scorer.name} must give a list with {{metric: number}} for each request, got {given!r:.80}"
        ) from error
    if len(found) != len(requests):
        raise BrokenScorerError(
            f"scorer {scorer.name} gave {len(found)} scores for {len(requests)} requests: repair it"
        )
    for scores in found:
        if scores.keys() != set(scorer.metrics):
            names, announced = ", ".join(sorted(map(str, scores))), ", ".join(sorted(scorer.metrics))
            raise BrokenScorerError(
                f"scorer {scorer.name} announces the metrics {announced} but gave {names or 'none'}: repair it"
            )
    return [{name: _number(name, value) for name, value in scores.items()} for scores in found]


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        number = float(value.item() if hasattr(value, "item") else value)  # one element of NumPy or torch
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise InputError(f"{name} is {value!r:.60}, not a number") from error
    if not math.isfinite(number):
        raise InputError(f"{name} is {number}, not a finite number")
    return number


def judging(metrics: Collection[str]) -> list[str]:
    """Return the metrics that judge clips, without those that tell how sure the scorer is of another one."""
    found = {name: _OF_ANOTHER.fullmatch(name) for name in metrics}
    return [name for name, match in found.items() if not (match and match[1] in metrics)]


def features_of(scorer: Scorer) -> tuple[str, ...]:
    """Return what a scorer hears with; its name if it does not say."""
    return tuple(scorer.features or (scorer.name,))


def hearings_of(scorer: Scorer) -> tuple[Hearing, ...]:
    """Return what the models of a scorer are given of a clip, so far as it is known."""
    return tuple(scorer.hears) or (Hearing(seconds=scorer.max_seconds),)


def twins_of(scorers: Sequence[Scorer]) -> dict[str, str]:
    """Return for metrics of scorers the metric by which another judge measures the same; not all scorers say."""
    return {name: twin for one in scorers for name, twin in (getattr(one, "twins", None) or {}).items()}


def are_independent(one: Scorer, other: Scorer) -> bool:
    """Return whether two scorers have no features in common."""
    return not {*features_of(one)} & {*features_of(other)}
