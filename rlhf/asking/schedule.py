"""Which prompts are asked about in each round, how often, and which of them only measure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from generators.shared.noise import stream_of
from music.errors import InputError
from music.hashing import candidate_seed
from rlhf.asking.options import RewardLoop
from rlhf.choosing import turns_of


class Schedule:
    """The questions of all rounds by prompt; over all rounds each prompt has equally many, to within one.

    Parameters
    ----------
    options
        Options of the run.
    prompts
        Ids of the prompts.

    Attributes
    ----------
    held_out
        Ids of the prompts whose answers never train.

    Raises
    ------
    InputError
        If no pool of this size can spend the budget, or it leaves nothing to learn or to measure in the first round.
    """

    def __init__(self, options: RewardLoop, prompts: Sequence[str]) -> None:
        self._options, self._ids = options, sorted(prompts)
        if len(self._ids) < 2:
            raise InputError("the loop needs at least 2 prompts, of which one only measures")
        count = min(len(self._ids) - 1, max(1, round(options.validation * len(self._ids))))
        self.held_out = set(random.Random(f"held out {options.seed}").sample(self._ids, count))
        pairs = options.n * (options.n - 1) // 2 * len(self._ids)
        rounds = 1 if options.policy else options.rounds  # a generator that learns makes new pairs in each
        if options.budget * rounds > pairs:
            raise InputError(
                f"--budget {options.budget} in {rounds} rounds: {len(self._ids)} prompts of {options.n} "
                f"candidates have {pairs} pairs, and none is asked about twice; raise --n, or add prompts"
            )
        if not (set(self.counts(0)) & self.held_out and self.learned_of):
            raise InputError(
                f"--budget {options.budget} is too small for a share of {options.validation:g} that only measures: "
                "raise it, or change --validation"
            )

    @property
    def learned_of(self) -> set[str]:
        """Ids of the prompts that the first round learns of."""
        return set(self.counts(0)) - self.held_out

    def counts(self, index: int) -> Counter[str]:
        """Return how many questions each prompt has in a round; those without any have no entry."""
        budget = self._options.budget
        stream = stream_of(candidate_seed(self._options.seed, "turns", 0))
        turns = turns_of(self._ids, budget * (index + 1), stream)
        return Counter(turns[budget * index :])
