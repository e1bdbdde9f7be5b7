"""What every judge of audio looks like: CMI-RM, baselines, ensembles, LLM judges, the lab's gold.

A scorer is handed requests (one piece of audio and the prompt it was made for) and returns one number for
each of its metrics. Higher is better for every metric. The numbers of a request never depend on its
neighbours.

Which scorers may check each other: two that hear with the same features err together.

A generator that learned to please one of them may please the other in the same way, without better music.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from music.clips import Clip
from music.prompts import Prompt


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


@runtime_checkable
class Scorer(Protocol):
    """A judge of audio.

    Attributes
    ----------
    name : str
        Short, safe as a file name; scores of a pool lie in ``scores/<name>.jsonl``.
    metrics : tuple of str
        What it measures, such as ``("musicality", "alignment")``.
    hash : str
        SHA-256 over everything that decides its scores: weights, configuration, numeric type, library
        versions. Scores with different hashes are never mixed.
    takes_clips : bool, optional
        Whether it may be handed clips in memory, which are then decoded ahead of it; without it, files.
    max_seconds : float, optional
        Of which only so much is heard.
    batch_size : int, optional
        How many requests it should be handed at a time at least, whatever the device.
    features : tuple of str, optional
        Trained networks that it hears with, such as ``("MuQ",)``; see `reward.protocol`.
    """

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> tuple[str, ...]: ...

    @property
    def hash(self) -> str: ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return one ``{metric: value}`` for each request, in order.

        Raises
        ------
        InputError
            If a request cannot be scored (unreadable or too short audio).
        """
        ...


MUQ = "MuQ"  # all of its trainings, that of MuQ-MuLan too


def features_of(scorer: Scorer) -> tuple[str, ...]:
    """Return what a scorer says it hears with; one that says nothing shares features with its own kind only."""
    return tuple(getattr(scorer, "features", None) or (scorer.name,))


def are_independent(one: Scorer, other: Scorer) -> bool:
    """Return whether two scorers have no features in common."""
    return not {*features_of(one)} & {*features_of(other)}
