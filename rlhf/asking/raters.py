"""Raters who are simulated: they answer at once, as a judge that knows the truth would, but err.

A rater hears utility of the one - utility of the other in units of `rater_scale`, through logistic noise
(`reward.simulated_votes`). The utilities are what the judge says, in standard deviations over the pool. Each rater has
a taste: musicality and alignment as the rater hears them are weighted sums of both, with weights of the rater's own,
which lie about 1 for the one that is asked about and 0 for the other with the standard deviation `taste`. Now and then
a rater does not listen and tosses a coin.

An answer depends on the seed and the pair, not on what else is asked, nor on which clip is shown first; so ways of
choosing pairs are compared on the same answers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from music.intervals import Array
from music.pool import Candidate, Pool
from music.processes import Processes
from reward import Scorer
from reward.judgements import HEADS
from reward.scoring.candidates import score_candidates
from reward.simulated_votes import judgement, utilities_of
from rlhf.asking.options import SimulatedRaters
from rlhf.asking.questions import Answer, Question

_OTHER = {"a": "b", "b": "a", "tie": "tie"}


@dataclass(frozen=True, eq=False)
class Raters:
    """Raters of one seed.

    Attributes
    ----------
    utilities
        For each head how good each candidate is, by prompt id, `[N]`.
    options
        How they err.
    seed
        Seed of tastes and answers.
    scores
        What the judge says of all candidates by metric, `[P, N]`.
    pool
        Which clips they are, if others of the same prompts were there before: the errors are new.
    """

    utilities: Mapping[str, Mapping[str, Array]]
    options: SimulatedRaters
    seed: int
    scores: Mapping[str, Array] = field(default_factory=dict)
    pool: str = ""

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Return an answer to each question, each by one of them."""
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        options, (low, high) = self.options, sorted((question.a, question.b))
        stream = random.Random(f"answer {self.seed} {self.pool}{question.prompt_id} {low} {high}")
        number = stream.randrange(options.rater_count)
        lapses = stream.random() < options.lapses
        taste = random.Random(f"taste {self.seed} {number}")
        labels, confidence = {}, {}
        truth = [self._difference(question.prompt_id, low, high, head) for head in HEADS]
        for head in HEADS:
            weights = [float(head == other) + options.taste * taste.gauss(0, 1) for other in HEADS]
            heard = sum(weight * value for weight, value in zip(weights, truth, strict=True))
            found: dict[str, Any] = judgement(heard / options.rater_scale, options.tie_threshold, stream)
            if lapses:
                found = {"choice": stream.choice("ab"), "confidence": stream.randint(1, 5)}
            choice = found["choice"]
            labels[head] = choice if question.a == low else _OTHER[choice]
            confidence[head] = float(found["confidence"])
        return Answer(question, f"simulated-{number}", labels, confidence)

    def _difference(self, prompt: str, first: int, second: int, head: str) -> float:
        values = self.utilities[head][prompt]
        return float(values[first] - values[second])


def raters_of(
    judge: Scorer,
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    options: SimulatedRaters,
    seed: int,
    processes: Processes,
    first: Raters | None = None,
) -> Raters:
    """Return raters whose truth is what a judge says of the N candidates of each prompt.

    If they are the raters of clips that were asked about before, `first`, they hear what they heard there: in the
    standard deviations of those clips.
    """
    scores = score_candidates([judge], pool, candidates, processes)
    prompts, shape = [row[0].prompt_id for row in candidates], np.shape(next(iter(scores.values())))
    found = utilities_of(_flat(scores), None if first is None else _flat(first.scores))
    return Raters(
        {head: dict(zip(prompts, values.reshape(shape), strict=True)) for head, values in found.items()},
        options,
        seed,
        scores,
        "" if first is None else f"{pool.folder.parent.name} ",
    )


def _flat(scores: Mapping[str, Array]) -> dict[str, Array]:
    return {name: values.ravel() for name, values in scores.items()}
