"""Writes the shipped prompts: captions that ask for known facts.

Every command runs on `lab` by default, post-training learns on `lab-train`, options are chosen on `lab-choosing`, and
`lab-held-out` judges once what that brings. No model has heard a song of any of them, and no two of the sets ask for
the same facts: what is learned or chosen on one of them cannot be known by heart on another.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from experiments.lab.world.corpus import song
from experiments.lab.world.facts import INSTRUMENTS, TEMPI
from music.durable import write_text
from music.jsonl import dump_line


@dataclass(frozen=True)
class PromptSet:
    """Some of the prompts of a split of songs.

    Attributes
    ----------
    name
        Beginning of their ids.
    split
        Split of the songs.
    first
        Index of the first song.
    count
        Number of prompts.
    turn
        Number of prompts in a row that ask for a register, before as many ask for a texture.
    apart_from
        Sets that ask for other facts: a song that would repeat what one of their prompts asks is passed over.
    """

    name: str = "lab"
    split: str = "test"
    first: int = 0
    count: int = 24
    turn: int = 1
    apart_from: tuple["PromptSet", ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return the prompts as rows of a file."""
        taken = {_asked(row) for other in self.apart_from for row in other.rows()}
        apart = (row for row in self._every_row() if _asked(row) not in taken)
        return list(islice(apart, self.count))

    def _every_row(self) -> Iterator[dict[str, Any]]:
        """Yield a prompt for each song: instruments, tempi and drums are balanced; `facts` are what it asks for."""
        for index in count(self.first):
            one = song(self.split, "prompt", index)
            facts = replace(
                one.facts,
                instrument=list(INSTRUMENTS)[index % len(INSTRUMENTS)],
                tempo=list(TEMPI)[index % len(TEMPI)],
                drums=(index // len(INSTRUMENTS) + index) % 2 == 0,
                voice=None,
                syllable_rate=None,
            )
            named = ("instrument", "tempo", "drums", "mode", ("register", "texture")[index // self.turn % 2])
            true = facts.as_dict()
            yield {
                "id": f"{self.name}-{index:02d}",
                "text": replace(one, facts=facts).caption(named),
                "lyrics": "",
                "reference": None,
                "facts": {name: true[name] for name in named},
            }


def _asked(row: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(row["facts"].items()))


#: with 16, every instrument comes with both; a turn of 1 ties half of them to the register, as the first sets have it
TURN = 2 * len(INSTRUMENTS)
LAB = PromptSet()
HELD_OUT = PromptSet("held-out", first=24, count=128)
TRAIN = PromptSet("train", "train", count=256, turn=TURN, apart_from=(LAB, HELD_OUT))
CHOOSING = PromptSet("choosing", "validation", count=64, turn=TURN, apart_from=(LAB, HELD_OUT, TRAIN))
#: by file name in `assets/lab`
SHIPPED = {
    "prompts.jsonl": LAB,
    "prompts_train.jsonl": TRAIN,
    "prompts_choosing.jsonl": CHOOSING,
    "prompts_held_out.jsonl": HELD_OUT,
}


def write_prompts(path: Path, prompts: PromptSet) -> None:
    """Write the prompts of a set to a file."""
    write_text(path, "".join(map(dump_line, prompts.rows())))
