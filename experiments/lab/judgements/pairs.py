"""Preference pairs whose answers are known: one clip has the facts that the prompt asks for, the other does not.

Pairs come in four conditions, by what the prompt consists of:

    text              a caption that names some facts
    text+lyrics       and lyrics, which tell the voice and the pace of the singing
    text+reference    and a reference: another song with the same facts
    all               all three

In each of them one or two of the requested facts are changed in one clip, which decides alignment; both clips carry
damage of their own, at least `GAP` apart in severity, which decides musicality. The two answers are independent. Two
more kinds isolate what is not text; their clips share notes and damage, and nobody judges their musicality:

    lyrics only       the clips differ in what only the lyrics tell
    reference only    the clips differ in one fact that the caption does not name and the reference shows

For training there are pairs across prompts too (`across`), made of the same clips and judged by musicality alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.lab.world.coded_audio import clip_of
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.damage import draw_damage, severity
from experiments.lab.world.facts import CAPTION_FACTS, LYRICS_FACTS, change_facts, draw_facts
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip
from music.errors import InputError

CONDITIONS = ("text", "text+lyrics", "text+reference", "all")
CONTRASTS = ("lyrics only", "reference only")
GAP = 0.2  # least difference of the severities of a pair
CODED = 0.25  # share of pairs that the generator's codec has touched
ALL_CHANGED = 0.2  # share of training pairs in which the wrong clip has nothing to do with the prompt
CHANGEABLE = tuple(name for name in CAPTION_FACTS if name != "vocals")
#: length in s -> share of pairs; training pairs are short, since a batch is padded to its longest
SHORT = {5.0: 0.8, 8.0: 0.2}
LENGTHS = {5.0: 0.8, 8.0: 0.1, 12.0: 0.07, 20.0: 0.02, 40.0: 0.01}


def damages_of_pair(rng: np.random.Generator) -> list[dict[str, float]]:
    """Draw damage for two clips, often none for one, until they are `GAP` apart."""
    while True:
        drawn = [draw_damage(rng) if rng.random() < 0.75 else {} for _ in range(2)]
        if abs(severity(drawn[0]) - severity(drawn[1])) >= GAP:
            return drawn


def facts_to_change(requested: tuple[str, ...], split: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Draw which of the requested facts the wrong clip misses."""
    if split != "test" and rng.random() < ALL_CHANGED:
        return requested
    count = min(len(requested), int(rng.integers(1, 3)))
    return tuple(str(name) for name in rng.choice(requested, count, replace=False))


def _requested(
    kind: str, named: tuple[str, ...], rng: np.random.Generator
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the facts that the caption names, and the requested ones, of which the wrong clip misses some."""
    if kind == "lyrics only":
        return named, tuple(LYRICS_FACTS)
    if kind == "reference only":
        # the wrong clip misses one fact, which a caption names half of the time: leave it out of this one
        hidden = str(rng.choice([name for name in CHANGEABLE if name != "instrument"]))
        return tuple(name for name in named if name != hidden), (hidden,)
    requested = tuple(name for name in named if name != "vocals")
    if kind in ("text+lyrics", "all"):
        requested += tuple(LYRICS_FACTS)
    if kind in ("text+reference", "all"):
        requested = tuple(dict.fromkeys(requested + CHANGEABLE))
    return named, requested


def pair(split: str, kind: str, index: int) -> tuple[dict, dict[str, Song]]:
    """Return row `index` of a kind, and its songs: `a`, `b` and perhaps `reference`."""
    rng = stream(split, f"pairs {kind}", index)
    lengths = LENGTHS if split == "test" else SHORT
    seconds = float(rng.choice(list(lengths), p=list(lengths.values())))
    with_lyrics = kind in ("text+lyrics", "all", "lyrics only")
    facts = draw_facts(rng, vocals=True if with_lyrics else None)
    asker = Song((split, f"prompt {kind}", index), facts, seconds)
    named, requested = _requested(kind, asker.named_facts(), rng)
    changed = facts_to_change(requested, split, rng)
    wrong = change_facts(facts, changed, rng)
    right_is_a = bool(rng.random() < 0.5)
    both = (facts, wrong) if right_is_a else (wrong, facts)
    if kind in CONTRASTS:
        damage = draw_damage(rng) if rng.random() < 0.5 else {}
        key = (split, kind, index)
        songs = {part: Song(key, one, seconds, damage) for part, one in zip("ab", both, strict=True)}
        musicality = ""
    else:
        songs = {
            part: Song((split, f"{kind} {part}", index), one, seconds, damage)
            for part, one, damage in zip("ab", both, damages_of_pair(rng), strict=True)
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
        row[field_of(part)] = f"audio/{row['id']}-{part}.flac"
    return row, songs


def field_of(part: str) -> str:
    """Return the field of a row that names the file of `a`, `b` or `reference`."""
    return part if part == "reference" else f"audio_{part}"


def pair_called(identity: str) -> tuple[dict, dict[str, Song]]:
    """Return what `pair` returns for the id of its row.

    Raises
    ------
    InputError
        If there is no such pair.
    """
    split, _, rest = identity.partition("-")
    kind, _, index = rest.rpartition("-")
    if (kind := kind.replace("-", " ")) not in (*CONDITIONS, *CONTRASTS) or not index.isdecimal():
        raise InputError(f"no pair of the lab is called {identity!r}")
    return pair(split, kind, int(index))


def across(rows: Sequence[Mapping[str, Any]], split: str, index: int) -> dict:
    """Return row `index` of the pairs across prompts: clips of two of the `rows`, under the prompt of one of them.

    Damage is heard without the prompt, so either of two clips can be the more musical; nobody judges their alignment.
    These pairs need no further audio, and keep a model from learning the clips of the other pairs by heart.
    """
    rng = stream(split, "pairs across", index)
    while True:
        chosen = [rows[int(number)] for number in rng.choice(len(rows), 2, replace=False)]
        sides = [str(side) for side in rng.choice(["a", "b"], 2)]
        first, second = (row["facts"][f"severity_{side}"] for row, side in zip(chosen, sides, strict=True))
        if abs(first - second) >= GAP:
            break
    clips = [row[f"audio_{side}"] for row, side in zip(chosen, sides, strict=True)]
    return {
        **_prompt(chosen[int(rng.integers(2))]),
        "id": f"{split}-across-{index:05d}",
        "preference_musicality": "a" if first < second else "b",
        "preference_alignment": "",
        "facts": {"kind": "across", "severity_a": first, "severity_b": second},
        "audio_a": clips[0],
        "audio_b": clips[1],
    }


def ratings(row: Mapping[str, Any]) -> list[dict]:
    """Return the ratings of both clips of a pair: musicality as a patient listener would rate it, 5 without damage."""
    return [
        {
            "id": f"{row['id']}-{side}",
            **_prompt(row),
            "audio": row[f"audio_{side}"],
            "rating_musicality": round(5 - 4 * row["facts"][f"severity_{side}"], 3),
            "facts": {"kind": "rating"},
        }
        for side in "ab"
    ]


def _prompt(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("text", "lyrics", "reference") if name in row}


def clip_of_part(
    row: Mapping[str, Any], part: str, songs: Mapping[str, Song], codec: SpectralCodecModel
) -> Clip:
    """Return clip `a`, `b` or `reference` of a pair: coded if its row says so, except for a reference."""
    return clip_of(songs[part], codec if row["facts"]["coded"] and part != "reference" else None)
