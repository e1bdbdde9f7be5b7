"""Writes the shipped prompts: captions that ask for known facts.

Every command runs on `lab` by default, post-training learns on `lab-train`, and `lab-held-out` judges what that brings.
No model has heard a song of any of them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from experiments.lab.world.corpus import song
from experiments.lab.world.facts import INSTRUMENTS, TEMPI
from music.durable import write_text
from music.jsonl import dump_line


@dataclass(frozen=True)
class PromptSet:
    """Some of the prompts of a split of songs."""

    name: str = "lab"  # beginning of their ids
    split: str = "test"
    first: int = 0  # index of the first song
    count: int = 24


#: by file name in `assets/lab`
SHIPPED = {
    "prompts.jsonl": PromptSet(),
    "prompts_train.jsonl": PromptSet("train", "train", count=256),
    "prompts_held_out.jsonl": PromptSet("held-out", first=24, count=128),
}


def write_prompts(path: Path, prompts: PromptSet) -> None:
    """Write prompts in which instruments, tempi and drums are balanced; their `facts` are what each asks for."""
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
    write_text(path, "".join(map(dump_line, rows)))
