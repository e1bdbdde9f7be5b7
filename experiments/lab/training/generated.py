"""Clips that the lab's MusicGen makes for captions of known facts: what it gives as a rule counts as true of them.

A reward that has heard only songs knows little of the shades in which a generator's clips differ, and nobody knows what
is true of these. But what their captions ask for is known, and who learns from thousands of clips of which nine in ten
are what they should be learns what is right (Rolnick et al. 2017, arXiv 1705.10694). Only the facts of `TRUSTED` count
so: the mode is right in one of two clips, and the texture in three of five (`assets/lab/README.md`).
"""

from pathlib import Path

from experiments.lab.world.corpus import stream
from experiments.lab.world.facts import CAPTION_FACTS, Facts, draw_facts
from experiments.lab.world.wording import caption
from generators import fill_pool, load_generator
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt

#: facts that the generator gives in nine of ten clips that are asked for them
TRUSTED = ("instrument", "tempo", "drums", "register")
SECONDS = 5.0
#: facts that its captions name
NAMED = tuple(name for name in CAPTION_FACTS if name != "vocals")


def facts_of_clip(split: str, index: int) -> Facts:
    """Return what clip `index` of a split is asked to be; nobody sings in it."""
    return draw_facts(stream(split, "generated", index, "facts"), vocals=False)


def prompt_of_clip(split: str, index: int) -> Prompt:
    """Return the prompt of clip `index` of a split: a caption that names every fact."""
    words = caption(facts_of_clip(split, index), NAMED, stream(split, "generated", index, "caption"))
    return Prompt(f"{split}-{index:05d}", words)


def generated_clips(folder: Path, split: str, count: int, generator: Path) -> list[Path]:
    """Return the files of the first `count` clips of a split, from the pool in `folder` where they were made before.

    Parameters
    ----------
    generator
        Folder of the generator.
    """
    prompts = [prompt_of_clip(split, index) for index in range(count)]
    pool = Pool(folder, create=True)
    fill_pool(load_generator(generator), prompts, 1, SECONDS, pool, 0, Processes({}))
    return [pool.path(one) for [one] in pool.candidates_of(prompts, 1)]
