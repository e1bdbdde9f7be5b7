"""Writes preference pairs whose answers are known: one clip has the facts that the prompt asks for, the other does not.

In each pair one or two of the asked facts are changed in one clip (now and then every fact), which decides
alignment; both clips carry damage of their own, at least `GAP` apart in severity, which decides musicality. The two
answers are independent. Prompts come in four conditions, by what they consist of:

    text              a caption that names some facts
    text+lyrics       and lyrics, which tell the voice and the pace of the singing
    text+reference    and a reference: another song with the same facts
    all               all three

`python -m reward.train` and `python -m experiments.lab.check` read the files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from experiments.lab.coded_audio import through_codec
from experiments.lab.corpus import Song, song, stream
from experiments.lab.damage import draw_damage, severity
from experiments.lab.facts import CAPTION_FACTS, LYRICS_FACTS, Facts, change_facts, draw_facts
from experiments.lab.finished_folder import claim_work
from experiments.lab.rendering import SAMPLE_RATE
from generators.spectral_codec import SpectralCodecModel
from music.clips import Clip, write_clip
from music.durable import write_text
from reward.cmi_rm.towers import hash_tensors

CONDITIONS = ("text", "text+lyrics", "text+reference", "all")
GAP = 0.2  # in severity
CODED = 0.25  # share of pairs that the generator's codec has touched
ALL_CHANGED = 0.2  # share of pairs in which the wrong clip has nothing to do with the prompt
CHANGEABLE = tuple(name for name in CAPTION_FACTS if name != "vocals")
#: length in s -> share of pairs; training pairs are short, since a batch is padded to its longest
SHORT = {5.0: 0.8, 8.0: 0.2}
LENGTHS = {5.0: 0.8, 8.0: 0.1, 12.0: 0.07, 20.0: 0.02, 40.0: 0.01}


def _damages(rng: np.random.Generator) -> list[dict[str, float]]:
    """Draw damage for two clips, often none for one, until they are `GAP` apart."""
    while True:
        drawn = [draw_damage(rng) if rng.random() < 0.75 else {} for _ in range(2)]
        if abs(severity(drawn[0]) - severity(drawn[1])) >= GAP:
            return drawn


def _wrong_facts(
    facts: Facts, asked: tuple[str, ...], rng: np.random.Generator
) -> tuple[Facts, tuple[str, ...]]:
    """Return facts that miss some of the asked ones, and which."""
    if rng.random() < ALL_CHANGED:
        changed = asked
    else:
        count = min(len(asked), int(rng.integers(1, 3)))
        changed = tuple(str(name) for name in rng.choice(asked, count, replace=False))
    return change_facts(facts, changed, rng), changed


def pair(split: str, index: int) -> tuple[dict, dict[str, Song]]:
    """Return the row of a pair without its paths, and its songs: `a`, `b` and perhaps `reference`."""
    rng = stream(split, "pairs", index)
    condition = CONDITIONS[index % 4]
    lengths = LENGTHS if split == "test" else SHORT
    seconds = float(rng.choice(list(lengths), p=list(lengths.values())))
    with_lyrics, with_reference = condition in ("text+lyrics", "all"), condition in ("text+reference", "all")
    facts = draw_facts(rng, vocals=True if with_lyrics else None)
    asker = Song((split, "prompt", index), facts, seconds)
    named = asker.named_facts()
    asked = tuple(name for name in named if name != "vocals")
    if with_lyrics:
        asked += tuple(LYRICS_FACTS)
    if with_reference:
        asked = tuple(dict.fromkeys(asked + CHANGEABLE))
    wrong, changed = _wrong_facts(facts, asked, rng)
    damages = _damages(rng)
    right_is_a = bool(rng.random() < 0.5)
    songs = {
        "a": Song((split, "pair a", index), facts if right_is_a else wrong, seconds, damages[0]),
        "b": Song((split, "pair b", index), wrong if right_is_a else facts, seconds, damages[1]),
    }
    if with_reference:
        songs["reference"] = song(split, "pair reference", index, 5.0, facts)
    row = {
        "id": f"{split}-{index:05d}",
        "text": asker.caption(named),
        "lyrics": asker.lyrics() if with_lyrics else "",
        "preference_musicality": "a" if songs["a"].severity < songs["b"].severity else "b",
        "preference_alignment": "a" if right_is_a else "b",
        "facts": {
            "condition": condition,
            "changed": list(changed),
            "coded": bool(rng.random() < CODED),
            "severity_a": songs["a"].severity,
            "severity_b": songs["b"].severity,
            "damage_a": sorted(songs["a"].damage),
            "damage_b": sorted(songs["b"].damage),
        },
    }
    return row, songs


def write_pairs(folder: Path, split: str, count: int, codec: SpectralCodecModel) -> Path:
    """Write `count` pairs of a split with their audio and return the rows' file; audio that is there is kept."""
    claim_work(folder, codec=hash_tensors(codec.state_dict()))
    path = folder / f"{split}.jsonl"
    if path.exists() and len(path.read_text().splitlines()) == count:
        return path
    rows = []
    for index in tqdm(range(count), desc=f"{split} pairs", disable=None):
        row, songs = pair(split, index)
        for part, one in songs.items():
            name = f"audio/{row['id']}-{part}.flac"
            if not (folder / name).exists():  # written whole or not at all
                wave = one.waveform()
                if row["facts"]["coded"] and part != "reference":
                    wave = through_codec(codec, wave)
                write_clip(folder / name, Clip(torch.from_numpy(wave)[None], SAMPLE_RATE))
            row["reference" if part == "reference" else f"audio_{part}"] = name
        rows.append(json.dumps(row))
    write_text(path, "\n".join(rows) + "\n")
    return path
