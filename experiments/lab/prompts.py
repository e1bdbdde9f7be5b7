"""Writes the prompts on which every command runs by default: held-out captions that ask for known facts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from experiments.lab.corpus import song
from experiments.lab.facts import INSTRUMENTS, TEMPI

COUNT = 24


def write_prompts(path: Path, count: int = COUNT) -> None:
    """Write prompts in which instruments, tempi and drums are balanced; `facts` holds what each asks for."""
    rows = []
    for index in range(count):
        one = song("test", "prompt", index)
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
                "id": f"lab-{index:02d}",
                "text": replace(one, facts=facts).caption(named),
                "lyrics": "",
                "reference": None,
                "facts": {name: true[name] for name in named},
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
