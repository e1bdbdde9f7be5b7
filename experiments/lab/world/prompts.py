"""Writes the shipped prompts: captions that ask for known facts.

`lab` are those on which every command runs by default, `lab-train` those that post-training learns on, `lab-held-out`
others to judge what it brings. No model has heard a song of any of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.lab.world.corpus import song
from experiments.lab.world.facts import INSTRUMENTS, TEMPI


@dataclass(frozen=True)
class PromptSet:
    """Some of the prompts of a split of songs.

    Attributes
    ----------
    name
        What their ids begin with.
    split
        Of songs.
    first, count
        Which songs.
    """

    name: str = "lab"
    split: str = "test"
    first: int = 0
    count: int = 24


#: by file name in `assets/lab`
SHIPPED = {
    "prompts.jsonl": PromptSet(),
    "prompts_train.jsonl": PromptSet("train", "train", count=256),
    "prompts_held_out.jsonl": PromptSet("held-out", first=24, count=128),
}


def write_prompts(path: Path, prompts: PromptSet) -> None:
    """Write prompts in which instruments, tempi and drums are balanced; `facts` holds what each asks for."""
    rows = []
    for index in range(prompts.first, prompts.first + prompts.count):
        one = song(prompts.split, "prompt", index)
        facts = replace(
            one.facts,
            instrument=list(INSTRUMENTS)[index % len(INSTRUMENTS)],
            tempo=list(TEMPI)[index % len(TEMPI)],
            drums=(index // len(INSTRUMENTS) + index) % 2 == 0,
            voice=None,
            syllable_rate=None,
        )
        named = ("instrument", "tempo", "drums", "mode", ("register", "texture")[index % 2])
        true = facts.as_dict()
        rows.append(
            {
                "id": f"{prompts.name}-{index:02d}",
                "text": replace(one, facts=facts).caption(named),
                "lyrics": "",
                "reference": None,
                "facts": {name: true[name] for name in named},
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
