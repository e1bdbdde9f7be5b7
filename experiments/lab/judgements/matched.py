"""Pairs of any two clips of which facts are known, under a caption that fits the one and errs about the other.

They need no audio of their own: the clips are those of other pairs, or what the generator made for captions
(`experiments/lab/training/generated.py`). The two differ in one or two of the facts that the caption names, agree in
the others that it names, and may differ in all that it does not name. So each answer tells about few facts, and no clip
can be learned by heart: under one caption it is the right one, under another the wrong one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.lab.judgements.pairs import GAP
from experiments.lab.world.corpus import NAMING, stream
from experiments.lab.world.facts import CAPTION_FACTS, Facts
from experiments.lab.world.wording import caption

KIND = "matched"


@dataclass(frozen=True)
class Known:
    """A clip of which facts are known.

    Attributes
    ----------
    audio
        File of it, as rows name it.
    facts
        What is true of it.
    names
        Names of the facts that can be relied upon, the instrument first.
    severity
        Severity of its damage; None if nobody knows.
    """

    audio: str
    facts: Facts
    names: tuple[str, ...]
    severity: float | None = None


class Matching:
    """Draws pairs from clips.

    Parameters
    ----------
    kind
        Which clips they are, part of the rows' ids.
    clips
        Clips whose `names` are the same.
    """

    def __init__(self, kind: str, clips: Sequence[Known]) -> None:
        self._kind, self._clips, self._names = kind, clips, clips[0].names
        self._values = np.array(
            [[CAPTION_FACTS[name].index(getattr(one.facts, name)) for name in self._names] for one in clips]
        )

    def pair(self, split: str, index: int) -> dict[str, Any]:
        """Return row `index` of a split."""
        rng = stream(split, f"pairs {KIND} {self._kind}", index)
        while True:
            place = int(rng.integers(len(self._clips)))
            named = [0, *(i for i, name in enumerate(self._names) if i and rng.random() < NAMING[name])]
            changed = rng.choice(named, min(len(named), int(rng.integers(1, 3))), replace=False)
            kept = [i for i in named if i not in changed]
            same = self._values == self._values[place]
            others = np.flatnonzero(same[:, kept].all(1) & ~same[:, changed].any(1))
            if len(others):
                break
        right, wrong = self._clips[place], self._clips[int(rng.choice(others))]
        right_is_a = bool(rng.random() < 0.5)
        a, b = (right, wrong) if right_is_a else (wrong, right)
        return {
            "id": f"{split}-{KIND}-{self._kind}-{index:05d}",
            "text": caption(right.facts, [self._names[i] for i in named], rng),
            "lyrics": "",
            "preference_musicality": _more_musical(a, b),
            "preference_alignment": "a" if right_is_a else "b",
            "facts": {"kind": KIND, "changed": [self._names[i] for i in changed]},
            "audio_a": a.audio,
            "audio_b": b.audio,
        }


def _more_musical(a: Known, b: Known) -> str:
    """Return which clip is the more musical, "" where they are too alike or nobody knows."""
    if a.severity is None or b.severity is None or abs(a.severity - b.severity) < GAP:
        return ""
    return "a" if a.severity < b.severity else "b"
