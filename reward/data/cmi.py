"""CMI-Pref, CMI-Pref-Pseudo and CMI-RewardBench (arXiv 2603.00610), in both layouts in which they are published.

A row with two pieces of audio is a preference, one with a single piece a rating. The layouts have different names for
the same fields: `ALIASES` has those of the benchmark's files first, then those of the released sets.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from reward.data.rows import (
    Items,
    Row,
    Source,
    UnusableError,
    audio_path,
    label_of,
    number_of,
    ratings_of,
    vote_of,
    without_empty,
)
from reward.data.tables import table_rows
from reward.judgements import HEADS

ALIASES = {
    "text": ("prompt", "text"),
    "lyrics": ("lyrics",),
    "reference": ("ref-audio-path", "ref-audio"),
    "audio_a": ("audio-path", "audio-a"),
    "audio_b": ("audio2", "audio-b"),
    "user": ("user id", "user_id"),
}
FACTS = ("source", "split", "modality", "model_a", "model_b", "prompt id", "feedback")
LISTENED = ("total_listening_time_a", "total_listening_time_b")


def read(source: Source) -> Items:
    """Yield the rows of a file; those of another split are passed over."""
    for place, fields in table_rows(source.place):
        if not source.split or fields.get("split") in (None, "", source.split):
            yield place, partial(_row, fields, source)


def _row(fields: Mapping[str, Any], source: Source) -> Row:
    def named(name: str) -> Any:
        return next((fields[alias] for alias in ALIASES[name] if fields.get(alias)), "")

    prompt = {"text": named("text"), "lyrics": named("lyrics")}
    if named("reference"):
        prompt["reference"] = audio_path(source.audio, named("reference"))
    facts = {name: fields.get(name) for name in (*FACTS, *LISTENED)} | {"user": named("user")}
    row: Row = {**prompt, "facts": without_empty(facts)}
    if not named("audio_b"):
        ratings = ratings_of(fields.get("musicality"), fields.get("text-music alignment"))
        return row | {"audio": audio_path(source.audio, named("audio_a"))} | ratings
    labels = {f"preference_{head}": label_of(fields.get(f"preference-{head}")) for head in HEADS}
    if not any(labels.values()):  # one vote, as in Music Arena
        labels = vote_of(label_of(fields.get("preference")), source.vote)
    if not any(labels.values()):
        raise UnusableError("nobody judged it", "no label")
    sure = {head: number_of(fields.get(f"confidence_preference-{head}"), "a confidence") for head in HEADS}
    row |= {side: audio_path(source.audio, named(side)) for side in ("audio_a", "audio_b")}
    return row | labels | {f"confidence_{head}": value for head, value in sure.items() if value is not None}
