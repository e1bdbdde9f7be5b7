"""Pruning by how far guidance leads: CFG-Rejection (arXiv 2505.23343), which needs no reward and decodes nothing.

A guided model predicts with and without the text at each step. Where these predictions differ much, summed over the
steps so far, the paper finds regions of high density, and better samples: the candidates with the largest sum go on.
The reward only chooses among the survivors, which are candidates of best of n, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from generators.stepping import Partial, Stoppable, latent_stoppable
from reward import Scorer
from scaling.methods.halving import Halving, Seen
from scaling.methods.protocol import Bench
from scaling.searching.compute import Course, Work


@dataclass(frozen=True)
class CfgRejection(Halving):
    """Go on with the candidates that guidance has led farthest."""

    listens: ClassVar[bool] = False

    def check(self, generator: Stoppable, begun: Partial, scorer: Scorer) -> None:
        """`InputError` for a generator that has no latents, or samples without guidance."""
        latent_stoppable(generator).guidance_gap(begun)

    def look(self, bench: Bench, partials: Sequence[Partial]) -> Seen:
        """Compare the sums."""
        generator = latent_stoppable(bench.generator)
        yield from ()  # nothing is asked of the workshop
        gaps = np.array([generator.guidance_gap(partial) for partial in partials])
        return [{"guidance_gap": float(gap)} for gap in gaps], gaps

    def cost_of_looking(self, course: Course, share: float, count: int) -> Work:
        """Return nothing: the generator has computed it already."""
        return Work()
