"""How a judge of the lab hears two clips: what it is not deaf to, with a lean and two kinds of error.

    heard = perceived + mishearing + lean + noise

Perceived is by how much the first clip seems the better one. It hears sound better than notes, as audio language models
do: wrong notes, loose playing and an off-key bass count less by its deafness, and so do mode, register and texture, if
nothing else tells the clips of a prompt apart. Pupils of the judge inherit that, however many labels they see; people
do not share it. The rest is by how much less damaged the first clip is, or for alignment plus or minus one half.

The mishearing belongs to the pair and is the same in both orders, so that no second question finds it; the lean is the
same for every question and favours what comes first; the noise belongs to the question. Both errors are logistic. Near
zero nothing is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.lab.corpus import Song, stream
from experiments.lab.damage import NOTE_DAMAGE, severity
from reward.judge.answers import Verdict

UNDECIDED = 0.1  # of what is heard
FAINT = ("mode", "register", "texture")  # facts that only the notes tell


@dataclass(frozen=True)
class Hearing:
    """What a judge makes of the truth.

    Attributes
    ----------
    lean
        To the first clip.
    mishearing, noise
        Scales of the logistic errors of a pair and of a question; the standard deviation is 1.8 times that.
    deafness
        To notes, from 0 to 1.
    """

    lean: float = 0.15
    mishearing: float = 0.15
    noise: float = 0.2
    deafness: float = 1.0

    def perceived(self, row: Mapping[str, Any], songs: Mapping[str, Song]) -> dict[str, float]:
        """Return by how much clip a of a pair (`experiments.lab.pairs.pair`) seems the better one, for each head."""
        faults = {part: severity(self._damage(songs[part].damage)) for part in "ab"}
        faint = all(name in FAINT for name in row["facts"]["changed"])
        clear = 0.5 * (1 - self.deafness if faint else 1)
        return {
            "musicality": faults["b"] - faults["a"] if row["preference_musicality"] else 0.0,
            "alignment": clear if row["preference_alignment"] == "a" else -clear,
        }

    def _damage(self, damage: Mapping[str, float]) -> dict[str, float]:
        return {
            kind: strength * (1 - self.deafness if kind in NOTE_DAMAGE else 1)
            for kind, strength in damage.items()
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


def _logistic(*name: object) -> float:
    share = float(stream("judge", *name).uniform(1e-6, 1 - 1e-6))
    return math.log(share / (1 - share))
