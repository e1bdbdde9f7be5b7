"""Clips that raters are asked about: of the generator that the loop begins with, or of that which a round has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from generators import Generator, fill_pool, load_generator
from generators.registry import given_sampling
from music.hashing import candidate_seed
from music.options import Sampling
from music.pool import Candidate, Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import Scorer
from rlhf.asking.options import RewardLoop
from rlhf.asking.policy import model_of
from rlhf.asking.raters import Raters, raters_of


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of a round.

    Attributes
    ----------
    pool
        Pool that they lie in.
    candidates
        N candidates of each of P prompts.
    raters
        Simulated raters; None where people answer.
    """

    pool: Pool
    candidates: Sequence[Sequence[Candidate]]
    raters: Raters | None

    @property
    def by_prompt(self) -> dict[str, Sequence[Candidate]]:
        """Candidates by prompt id."""
        return {row[0].prompt_id: row for row in self.candidates}


@dataclass(frozen=True, eq=False)
class Clipmaker:
    """Makes the clips of a loop; what is there is not made again.

    Attributes
    ----------
    options
        Options of the run.
    generator
        The generator that it begins with.
    prompts
        Prompts that are asked about.
    rater_judge
        What knows the truth of simulated raters; None where people answer.
    processes
        The process of the run.
    """

    options: RewardLoop
    generator: Generator
    prompts: list[Prompt]
    rater_judge: Scorer | None
    processes: Processes
    _made: dict[int, Clips] = field(default_factory=dict)

    def of_round(self, index: int) -> Clips:
        """Return what is asked about in a round: always the same clips, unless the generator learns."""
        index = index if self.options.policy else 0
        if index not in self._made:
            options = self.options
            place, seed, model = options.output / "pool", options.seed_of_clips, None
            if index:
                model = model_of(options, index - 1)
                place, seed = options.place(index) / "pool", candidate_seed(seed, "pool", index)
            pool, candidates = self.made(place, self.prompts, options.n, seed, model)
            self._made[index] = Clips(pool, candidates, self._raters(index, pool, candidates))
        return self._made[index]

    def made(
        self, place: Path, prompts: list[Prompt], n: int, seed: int, model: Path | None = None
    ) -> tuple[Pool, list[list[Candidate]]]:
        """Return n candidates of each prompt in a pool, by the generator or by a model that came of it."""
        generator, options, pool = self.generator, self.options, Pool(place, create=True)
        if model is not None:
            sampling = given_sampling(options, Sampling)
            generator = load_generator(model, device=options.device, dtype=options.dtype, **sampling)
        fill_pool(generator, prompts, n, options.seconds, pool, seed, self.processes)
        return pool, pool.candidates_of(prompts, n)

    def _raters(self, index: int, pool: Pool, candidates: Sequence[Sequence[Candidate]]) -> Raters | None:
        if self.rater_judge is None:
            return None
        first = self.of_round(0).raters if index else None
        return raters_of(
            self.rater_judge, pool, candidates, self.options, self.options.seed, self.processes, first
        )
