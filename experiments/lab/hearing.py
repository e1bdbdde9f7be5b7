"""How a judge of the lab hears two clips: the truth through its taste, with a lean and two kinds of error.

    heard = perceived + mishearing + lean + noise

Perceived is by how much the first clip seems the better one. For musicality that is how much less damaged it is, and
the judge likes drums and a fast tempo; for alignment plus or minus one half, and what is less damaged seems to follow
the prompt better too (a halo, Thorndike 1920). Both are the judge's own and not people's: no second question finds
them, and its pupils inherit them, however many of its labels they see.

The mishearing belongs to the pair and is the same in both orders; the lean is the same for every question and favours
what comes first; the noise belongs to the question. Both errors are logistic. Near zero nothing is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.lab.world.corpus import Song, stream
from reward.judge.answers import Verdict

UNDECIDED = 0.1  # of what is heard


@dataclass(frozen=True)
class Hearing:
    """What a judge makes of the truth.

    Attributes
    ----------
    lean
        To the first clip.
    mishearing, noise
        Scales of the logistic errors of a pair and of a question; the standard deviation is 1.8 times that.
    taste
        How much severity drums or a fast tempo outweigh; both together twice that.
    halo
        Share of the difference in severity that counts as alignment.
    """

    lean: float = 0.15
    mishearing: float = 0.15
    noise: float = 0.2
    taste: float = 0.5
    halo: float = 0.8

    def perceived(self, row: Mapping[str, Any], songs: Mapping[str, Song]) -> dict[str, float]:
        """Return by how much clip a of a pair (`experiments.lab.pairs.pair`) seems the better one, for each head."""
        cleaner = songs["b"].severity - songs["a"].severity
        liked = self.taste * (_liking(songs["a"]) - _liking(songs["b"]))
        follows = 0.5 if row["preference_alignment"] == "a" else -0.5
        return {
            "musicality": cleaner + liked if row["preference_musicality"] else 0.0,
            "alignment": follows + self.halo * cleaner,
        }

    def verdict(self, perceived: float, head: str, turned: bool, pair: str) -> Verdict:
        """Return the answer to one question.

        Parameters
        ----------
        perceived
            By how much clip a of the pair seems the better one.
        head
            Musicality or alignment.
        turned
            Whether clip b comes first.
        pair
            Its name, from which all errors follow.
        """
        misheard = perceived + self.mishearing * _logistic(pair, head)
        heard = (-misheard if turned else misheard) + self.lean + self.noise * _logistic(pair, head, turned)
        marks = [float(min(10, max(1, round(6 + 4 * sign * heard)))) for sign in (1, -1)]
        undecided = "both" if round(1e6 * heard) % 2 else "neither"
        return Verdict(undecided if abs(heard) < UNDECIDED else "a" if heard > 0 else "b", *marks)


def _liking(song: Song) -> int:
    return song.facts.drums + (song.facts.tempo == "fast")


def _logistic(*name: object) -> float:
    share = float(stream("judge", *name).uniform(1e-6, 1 - 1e-6))
    return math.log(share / (1 - share))
