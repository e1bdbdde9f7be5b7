"""How a judge of the lab hears two clips: the truth through its taste, with a lean and two kinds of error.

    heard = perceived + mishearing + lean + noise

Perceived is how much better the first clip seems. For musicality that is how much less damaged it is, and the judge
likes drums and a fast tempo; for alignment it is plus or minus one half, and what is less damaged seems to follow the
prompt better too (a halo, Thorndike 1920). Taste and halo are the judge's own and not people's: no second question
reveals them, and models that learn from its labels inherit them, however many labels they see.

The mishearing belongs to the pair and is the same in both orders; the lean is the same for every question and favours
what comes first; the noise belongs to the question. Both errors are logistic. Near zero nothing is preferred.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.lab.world.corpus import Song, logistic, stream
from reward.judge.answers import Verdict

UNDECIDED = 0.1  # heard differences nearer to zero are no preference


@dataclass(frozen=True)
class Hearing:
    """What a judge makes of the truth.

    Attributes
    ----------
    lean
        Advantage of the clip that comes first.
    mishearing
        Scale of the logistic error that belongs to a pair; its standard deviation is 1.8 times as large.
    noise
        Scale of the logistic error that belongs to a question.
    taste
        Severity that drums or a fast tempo make up for; both together make up for twice that.
    halo
        Share of the difference in severity that counts as alignment.
    """

    lean: float = 0.15
    mishearing: float = 0.15
    noise: float = 0.2
    taste: float = 0.5
    halo: float = 0.8

    def perceived(self, row: Mapping[str, Any], songs: Mapping[str, Song]) -> dict[str, float]:
        """Return by how much clip a of a pair (`judgements.pairs.pair`) seems the better one, for each head."""
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
            Amount by which clip a of the pair seems the better one.
        head
            What is judged: musicality or alignment.
        turned
            Whether clip b comes first.
        pair
            Name of the pair, from which all errors follow.
        """
        misheard = perceived + self.mishearing * logistic(stream("judge", pair, head))
        noise = self.noise * logistic(stream("judge", pair, head, turned))
        heard = (-misheard if turned else misheard) + self.lean + noise
        marks = [float(min(10, max(1, round(6 + 4 * sign * heard)))) for sign in (1, -1)]
        undecided = "both" if round(1e6 * heard) % 2 else "neither"
        return Verdict(undecided if abs(heard) < UNDECIDED else "a" if heard > 0 else "b", *marks)


def _liking(song: Song) -> int:
    return song.facts.drums + (song.facts.tempo == "fast")
