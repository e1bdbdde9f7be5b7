"""Pairs of clips that the generator made for the same facts, answered by what the towers' own probes hear in them.

All candidates of a prompt are more or less what was asked for. Pairs of which one clip is wrong teach a head to tell
right from wrong, and little of more or less. The probes with which the towers were trained (`mulan_played.py`) know
both, as they are linear and were taught every fact of songs; here they teach it to the head, on pairs such as it will
have to tell apart. The caption names facts that both clips were asked for. The one with the higher mean log odds of
these is the better aligned, the one with less damage the more musical; no answer is given where two are nearer to
each other than the median.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.lab.judgements.matched import Known
from experiments.lab.world.corpus import NAMING, stream
from experiments.lab.world.wording import caption
from music.intervals import Array

KIND = "shades"
MOST_ODDS = 5.0  # log odds beyond which a fact is as good as certain
_TRIED = 1_000  # pairs by which the medians are found


class Shades:
    """Draws pairs from clips.

    Parameters
    ----------
    clips
        Clips with what each was asked for; the severity is the one that the probe hears.
    odds
        For each of their `names` the log odds of what was asked for, `[clips, names]`.
    """

    def __init__(self, clips: Sequence[Known], odds: Array) -> None:
        self._clips, self._names = clips, clips[0].names
        self._odds = odds.clip(-MOST_ODDS, MOST_ODDS)
        self._asked = np.array([[str(getattr(one.facts, name)) for name in self._names] for one in clips])
        self._severity = np.array([one.severity for one in clips], float)
        drawn = [self._draw(stream("shades", "median", index)) for index in range(_TRIED)]
        self._nearest = np.median(np.abs([self._differences(*one) for one in drawn]), axis=0)

    def pair(self, split: str, index: int) -> dict[str, Any]:
        """Return row `index` of a split."""
        rng = stream(split, f"pairs {KIND}", index)
        alignment = musicality = ""
        while not (alignment or musicality):
            a, b, named = self._draw(rng)
            alignment, musicality = (
                "" if abs(value) < nearest else "ab"[value < 0]
                for value, nearest in zip(self._differences(a, b, named), self._nearest, strict=True)
            )
        return {
            "id": f"{split}-{KIND}-{index:05d}",
            "text": caption(self._clips[a].facts, [self._names[i] for i in named], rng),
            "lyrics": "",
            "preference_musicality": musicality,
            "preference_alignment": alignment,
            "facts": {"kind": KIND},
            "audio_a": self._clips[a].audio,
            "audio_b": self._clips[b].audio,
        }

    def _draw(self, rng: np.random.Generator) -> tuple[int, int, list[int]]:
        """Return two clips, and the facts to name, which both were asked for."""
        while True:
            a = int(rng.integers(len(self._clips)))
            named = [0, *(i for i, name in enumerate(self._names) if i and rng.random() < NAMING[name])]
            same = (self._asked[:, named] == self._asked[a, named]).all(1)
            same[a] = False
            if same.any():
                return a, int(rng.choice(np.flatnonzero(same))), named

    def _differences(self, a: int, b: int, named: Sequence[int]) -> tuple[float, float]:
        """Return how much better a is aligned than b, and how much less damaged it is."""
        margins = self._odds[[a, b]][:, named].mean(1)
        return float(margins[0] - margins[1]), float(self._severity[b] - self._severity[a])
