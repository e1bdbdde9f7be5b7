"""Writes preference pairs whose answers are known: one clip has the facts that the prompt asks for, the other does not.

    python -m experiments.lab.pairs --output runs/lab/pairs       # the shipped held-out pairs, with their audio

Pairs come in four conditions, by what the prompt consists of:

    text              a caption that names some facts
    text+lyrics       and lyrics, which tell the voice and the pace of the singing
    text+reference    and a reference: another song with the same facts
    all               all three

In each of them one or two of the asked facts are changed in one clip, which decides alignment; both clips carry damage
of their own, at least `GAP` apart in severity, which decides musicality. The two answers are independent. Two more
kinds isolate what is not text; their clips share notes and damage, and nobody judges their musicality:

    lyrics only       the clips differ in what only the lyrics tell
    reference only    the clips differ in one fact that the caption does not name and the reference shows

To learn from there are pairs across prompts too (`across`), made of the same clips and judged by musicality alone.

The rows of the held-out pairs are shipped in `assets/lab/pairs.jsonl`; their audio is made by the command above.
`python -m reward.train` reads such files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from experiments.lab.workers import cores, spread
from experiments.lab.world.coded_audio import shipped_codec, through_codec
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.damage import draw_damage, severity
from experiments.lab.world.facts import CAPTION_FACTS, LYRICS_FACTS, change_facts, draw_facts
from experiments.lab.world.rendering import SAMPLE_RATE
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip, write_clip
from music.command import refuse_below_one, run
from music.durable import claim_work, write_text
from music.errors import InputError
from music.shipped_files import LAB
from reward.cmi_rm.towers import hash_tensors

CONDITIONS = ("text", "text+lyrics", "text+reference", "all")
CONTRASTS = ("lyrics only", "reference only")
#: pairs of each kind in the shipped file
HELD_OUT = {**dict.fromkeys(CONDITIONS, 2_000), **dict.fromkeys(CONTRASTS, 500)}
GAP = 0.2  # in severity
CHUNK = 20  # pairs that a process makes at a time
CODED = 0.25  # share of pairs that the generator's codec has touched
ALL_CHANGED = 0.2  # share of training pairs in which the wrong clip has nothing to do with the prompt
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


def _changed(asked: tuple[str, ...], split: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw which of the asked facts the wrong clip misses."""
    if split != "test" and rng.random() < ALL_CHANGED:
        return asked
    count = min(len(asked), int(rng.integers(1, 3)))
    return tuple(str(name) for name in rng.choice(asked, count, replace=False))


def _asked(
    kind: str, named: tuple[str, ...], rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the facts that the caption names, and those of which the wrong clip misses some."""
    if kind == "lyrics only":
        return named, tuple(LYRICS_FACTS)
    if kind == "reference only":
        # the wrong clip misses one fact; a caption names it half of the time, so leave it out
        hidden = str(rng.choice([name for name in CHANGEABLE if name != "instrument"]))
        return tuple(name for name in named if name != hidden), (hidden,)
    asked = tuple(name for name in named if name != "vocals")
    if kind in ("text+lyrics", "all"):
        asked += tuple(LYRICS_FACTS)
    if kind in ("text+reference", "all"):
        asked = tuple(dict.fromkeys(asked + CHANGEABLE))
    return named, asked


def pair(split: str, kind: str, index: int) -> tuple[dict, dict[str, Song]]:
    """Return row `index` of a kind without its paths, and its songs: `a`, `b` and perhaps `reference`."""
    rng = stream(split, f"pairs {kind}", index)
    lengths = LENGTHS if split == "test" else SHORT
    seconds = float(rng.choice(list(lengths), p=list(lengths.values())))
    with_lyrics = kind in ("text+lyrics", "all", "lyrics only")
    facts = draw_facts(rng, vocals=True if with_lyrics else None)
    asker = Song((split, f"prompt {kind}", index), facts, seconds)
    named, asked = _asked(kind, asker.named_facts(), rng)
    changed = _changed(asked, split, rng)
    wrong = change_facts(facts, changed, rng)
    right_is_a = bool(rng.random() < 0.5)
    both = (facts, wrong) if right_is_a else (wrong, facts)
    if kind in CONTRASTS:
        damage = draw_damage(rng) if rng.random() < 0.5 else {}
        songs = {
            part: Song((split, kind, index), one, seconds, damage)
            for part, one in zip("ab", both, strict=True)
        }
        musicality = ""
    else:
        songs = {
            part: Song((split, f"{kind} {part}", index), one, seconds, damage)
            for part, one, damage in zip("ab", both, _damages(rng), strict=True)
        }
        musicality = "a" if songs["a"].severity < songs["b"].severity else "b"
    if kind in ("text+reference", "all", "reference only"):
        songs["reference"] = song(split, f"{kind} reference", index, 5.0, facts)
    row = {
        "id": f"{split}-{kind.replace(' ', '-')}-{index:05d}",
        "text": asker.caption(named),
        "lyrics": asker.lyrics() if with_lyrics else "",
        "preference_musicality": musicality,
        "preference_alignment": "a" if right_is_a else "b",
        "facts": {
            "kind": kind,
            "changed": list(changed),
            "coded": bool(rng.random() < CODED),
            "severity_a": round(songs["a"].severity, 4),
            "severity_b": round(songs["b"].severity, 4),
        },
    }
    for part in songs:
        row["reference" if part == "reference" else f"audio_{part}"] = f"audio/{row['id']}-{part}.flac"
    return row, songs


def pair_called(identity: str) -> tuple[dict, dict[str, Song]]:
    """Return what `pair` returns for the id of its row.

    Raises
    ------
    InputError
        If no pair is called so.
    """
    split, _, rest = identity.partition("-")
    kind, _, index = rest.rpartition("-")
    if (kind := kind.replace("-", " ")) not in (*CONDITIONS, *CONTRASTS) or not index.isdecimal():
        raise InputError(f"no pair of the lab is called {identity!r}")
    return pair(split, kind, int(index))


def across(rows: Sequence[Mapping[str, Any]], split: str, index: int) -> dict:
    """Return row `index` of the pairs across prompts: clips of two of the `rows`, under the prompt of either.

    Damage is heard without the prompt, so that any two clips tell which of them is the more musical; nobody judges
    their alignment. They cost no audio, and keep a model from learning the clips of the other pairs by heart.
    """
    rng = stream(split, "pairs across", index)
    while True:
        chosen = [rows[int(number)] for number in rng.choice(len(rows), 2, replace=False)]
        sides = [str(side) for side in rng.choice(["a", "b"], 2)]
        first, second = (row["facts"][f"severity_{side}"] for row, side in zip(chosen, sides, strict=True))
        if abs(first - second) >= GAP:
            break
    asker = chosen[int(rng.integers(2))]
    return {
        **{name: asker[name] for name in ("text", "lyrics", "reference") if name in asker},
        "id": f"{split}-across-{index:05d}",
        "preference_musicality": "a" if first < second else "b",
        "preference_alignment": "",
        "facts": {"kind": "across", "severity_a": first, "severity_b": second},
        **{
            f"audio_{part}": row[f"audio_{side}"] for part, row, side in zip("ab", chosen, sides, strict=True)
        },
    }


def ratings(row: Mapping[str, Any]) -> list[dict]:
    """Return the ratings of both clips of a pair: musicality as a patient listener would put it, 5 without damage."""
    asked = {name: row[name] for name in ("text", "lyrics", "reference") if name in row}
    return [
        {
            "id": f"{row['id']}-{side}",
            **asked,
            "audio": row[f"audio_{side}"],
            "rating_musicality": round(5 - 4 * row["facts"][f"severity_{side}"], 3),
            "facts": {"kind": "rating"},
        }
        for side in "ab"
    ]


def write_pairs(
    folder: Path,
    split: str,
    counts: Mapping[str, int],
    codec: SpectralCodecModel,
    workers: int = 1,
    more: int = 0,
) -> Path:
    """Write pairs of a split with their audio and return the rows' file; audio that is there is kept.

    Parameters
    ----------
    counts
        Pairs of each kind.
    workers
        Processes that make the audio.
    more
        Pairs across prompts (`across`) beside them.
    """
    claim_work(folder, codec=hash_tensors(codec.state_dict()))
    wanted = [(kind, index) for kind, count in counts.items() for index in range(count)]
    parts = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
    made = spread(partial(_write_audio, folder, split, codec), parts, workers, f"{split} pairs")
    rows = [row for part in made for row in part]
    rows += [across(rows, split, index) for index in range(more)]
    path = folder / f"{split}.jsonl"
    write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def clip_of(one: Song, codec: SpectralCodecModel | None) -> Clip:
    """Return a song as a clip, through the codec if there is one."""
    wave = one.waveform()
    coded = wave if codec is None else through_codec(codec, wave)
    return Clip(torch.from_numpy(coded)[None], SAMPLE_RATE)


def _write_audio(
    folder: Path, split: str, codec: SpectralCodecModel, wanted: Sequence[tuple[str, int]]
) -> list[dict]:
    """Write the clips of some pairs and return their rows; a thread waits for the disk."""
    rows, writing = [], []
    with ThreadPoolExecutor(max_workers=1) as disk:
        for kind, index in wanted:
            row, songs = pair(split, kind, index)
            for part, one in songs.items():
                path = folder / row["reference" if part == "reference" else f"audio_{part}"]
                if not path.exists():  # written whole or not at all
                    coded = row["facts"]["coded"] and part != "reference"
                    writing.append(disk.submit(write_clip, path, clip_of(one, codec if coded else None)))
            rows.append(row)
    for written in writing:
        written.result()
    return rows


def write_rows(path: Path) -> None:
    """Write the rows of the held-out pairs, without audio."""
    wanted = [(kind, index) for kind, count in HELD_OUT.items() for index in range(count)]
    rows = [pair("test", kind, index)[0] for kind, index in tqdm(wanted, desc="pairs", disable=None)]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


@dataclass(frozen=True)
class WritePairs:
    """Write held-out pairs with their audio.

    Parameters
    ----------
    output
        Folder for `test.jsonl` and `audio/`; audio that is there is kept.
    limit
        Only the first so many pairs of each kind.
    models
        Folder of the lab's models, whose codec some of the audio passes.
    workers
        Processes that work side by side.
    """

    output: Path = Path("runs/lab/pairs")
    limit: int | None = None
    models: Path = LAB
    workers: int = cores()

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "limit", "workers")


def main(options: WritePairs) -> None:
    """Write them and say where they are."""
    counts = {kind: min(count, options.limit or count) for kind, count in HELD_OUT.items()}
    codec = shipped_codec(options.models)
    print(write_pairs(options.output, "test", counts, codec, options.workers))


if __name__ == "__main__":
    run(main, WritePairs)
