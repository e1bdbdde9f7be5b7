"""Pruning by the reward of previews.

All n candidates are begun; after given shares of the work the reward model hears a preview of each, and only the best
go on. MusicGen's preview is the beginning of the clip, decoded from the codes so far: speculative rejection (arXiv
2410.20290) on music. That of a diffusion or flow model is the whole clip, as its last prediction of the clean latents
decodes: what TTSnap (arXiv 2511.22242) prunes by, without its reward for noisy previews.

The survivors are candidates of best of n, to the bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from generators.stepping import Partial
from scaling.methods.halving import Halving, Seen
from scaling.methods.protocol import Bench, Hear
from scaling.searching.compute import Course, Work


@dataclass(frozen=True)
class Prune(Halving):
    """Go on with the candidates whose previews have the highest reward."""

    def look(self, bench: Bench, partials: Sequence[Partial]) -> Seen:
        """Hear the previews."""
        scores = yield Hear(partials)
        return scores, bench.rewards(scores)

    def cost_of_looking(self, course: Course, share: float, count: int) -> Work:
        """Return the work of previews."""
        return course.preview(share, count)
