"""Preference pairs whose answers are known although the generator plays them: what a reward is to hear in its clips.

As in the pairs of text alone (`pairs.py`), one clip has the facts that a caption asks for and the other misses some of
them, and both carry damage at least `GAP` apart. Here the lab's MusicGen plays part of both clips
(`experiments/lab/training/regenerated.py`), so nothing is sung.
"""

from functools import partial
from pathlib import Path

import torch

from experiments.lab.judgements.matched import Known
from experiments.lab.judgements.pairs import CHANGEABLE, across, damages_of_pair, facts_to_change, field_of
from experiments.lab.training.regenerated import Player
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.facts import change_facts, draw_facts
from experiments.lab.world.rendering import SAMPLE_RATE
from experiments.running import spread
from music.clips import Clip, write_clip
from music.durable import claim_work, write_text
from music.jsonl import dump_line
from reward.cmi_rm.weights import hash_tensors

KIND = "played"
SECONDS = 5.0


def played_pair(split: str, index: int) -> tuple[dict, dict[str, Song]]:
    """Return row `index` of a split, and its songs `a` and `b`."""
    rng = stream(split, f"pairs {KIND}", index)
    facts = draw_facts(rng, vocals=False)
    asker = Song((split, f"prompt {KIND}", index), facts, SECONDS)
    requested = tuple(name for name in asker.named_facts() if name != "vocals")
    changed = facts_to_change(requested, split, rng)
    right_is_a = bool(rng.random() < 0.5)
    both = (facts, change_facts(facts, changed, rng))
    songs = {
        part: Song((split, f"{KIND} {part}", index), one, SECONDS, damage)
        for part, one, damage in zip(
            "ab", both if right_is_a else both[::-1], damages_of_pair(rng), strict=True
        )
    }
    row = {
        "id": f"{split}-{KIND}-{index:05d}",
        "text": asker.caption(requested),
        "lyrics": "",
        "preference_musicality": "a" if songs["a"].severity < songs["b"].severity else "b",
        "preference_alignment": "a" if right_is_a else "b",
        "facts": {
            "kind": KIND,
            "changed": list(changed),
            "severity_a": round(songs["a"].severity, 4),
            "severity_b": round(songs["b"].severity, 4),
        },
    }
    for part in songs:
        row[field_of(part)] = f"{KIND}/{row['id']}-{part}.flac"
    return row, songs


def played_clips(split: str, count: int) -> list[Known]:
    """Return what is known of the clips of the first `count` pairs of a split."""
    names = ("instrument", *(name for name in CHANGEABLE if name != "instrument"))
    known = []
    for index in range(count):
        row, songs = played_pair(split, index)
        known += [Known(row[field_of(part)], one.facts, names, one.severity) for part, one in songs.items()]
    return known


def write_played_pairs(
    folder: Path, split: str, count: int, player: Player, workers: int = 1, more: int = 0
) -> Path:
    """Write pairs of a split with their audio and return the rows' file; audio that is there is kept.

    Parameters
    ----------
    folder
        Folder for the rows' file and `played/` with the audio; other pairs may lie there too.
    more
        Number of pairs across prompts (`across`) beside them.
    """
    claim_work(folder / KIND, player=hash_tensors(player.model.state_dict()))
    wanted = [(split, index) for index in range(count)]
    rows = spread(partial(_written, folder, player), wanted, workers, f"{split} pairs, played")
    rows += [across(rows, f"{split}-{KIND}", index) for index in range(more)]
    path = folder / f"{split}_{KIND}.jsonl"
    write_text(path, "".join(map(dump_line, rows)))
    return path


def _written(folder: Path, player: Player, wanted: tuple[str, int]) -> dict:
    """Write the clips of a pair and return its row."""
    row, songs = played_pair(*wanted)
    for part, one in songs.items():
        path = folder / row[field_of(part)]
        if not path.exists():  # written whole or not at all
            write_clip(path, Clip(torch.from_numpy(player.play(one))[None], SAMPLE_RATE))
    return row
