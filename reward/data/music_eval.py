"""MusicEval (Liu et al. 2025): mean opinions of musicality and alignment, given by musicians.

The folder is ``MusicEval-full`` as published: ``sets/<split>_mos_list.txt`` with lines `file,musicality,alignment`, the
audio in ``wav/``, and the texts in ``prompt_info.txt`` by prompt and ``demo_prompt_info.txt`` by file, both with tabs.
A file is named ``audiomos2025-track1-<system>_<prompt>.wav``.

Or it is what the hub has of ``BAAI/MusicEval``: ``data/<split>-*.parquet`` with `audio`, `overall quality` and `textual
alignment`. There are no texts, so only musicality is taken; the audio is unpacked.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_lines, read_parquet, read_tsv
from music.paths import exists, files_in, is_file
from reward.data.rows import Items, Row, Source, UnusableError, audio_path, ratings_of, write_packed_audio


def read(source: Source) -> Items:
    """Yield the ratings of a split, or of all."""
    packed = files_in(source.place, f"data/{source.split or '*'}-*.parquet")
    if packed and not exists(source.place / "sets"):
        yield from _packed(packed, source.made)
        return
    lists = files_in(source.place / "sets", f"{source.split or '*'}_mos_list.txt")
    if not lists:
        name = source.split or "*"
        raise InputError(f"{source.place} holds neither sets/{name}_mos_list.txt nor data/{name}-*.parquet")
    texts = _texts(source.place / "prompt_info.txt") | _texts(source.place / "demo_prompt_info.txt")
    for path in lists:
        for line, text in read_lines(path):
            split = path.name.removesuffix("_mos_list.txt")
            yield f"{path} line {line}", partial(_row, text, texts, source.place, split)


def _row(line: str, texts: Mapping[str, str], folder: Path, split: str) -> Row:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 3:
        raise UnusableError("not a line of three fields", repr(line))
    name, musicality, alignment = parts
    system, _, prompt = Path(name).stem.rpartition("-")[2].partition("_")
    text = texts.get(name, texts.get(prompt, ""))
    if not text:
        raise UnusableError("its prompt is unknown", name)
    return {
        "text": text,
        "audio": audio_path(folder / "wav", name),
        **ratings_of(musicality, alignment),
        "facts": {"source": "MusicEval", "split": split, "model": system, "prompt id": prompt},
    }


def _packed(files: Sequence[Path], folder: Path) -> Items:
    """Yield the rows of parquet files, whose place in their split names them."""
    numbers: Counter[str] = Counter()
    for path in files:
        split = path.name.partition("-")[0]
        for fields in read_parquet(path, ("audio", "overall quality")):
            yield f"{path} row {numbers[split]}", partial(_unpacked, fields, split, numbers[split], folder)
            numbers[split] += 1


def _unpacked(fields: Mapping[str, Any], split: str, number: int, folder: Path) -> Row:
    rating = ratings_of(fields.get("overall quality"), None)
    audio = write_packed_audio(fields.get("audio"), folder / f"{split}-{number:05d}")
    facts = {"source": "MusicEval", "split": split, "row": number}
    return {"text": "", "audio": audio, **rating, "facts": facts}


def _texts(path: Path) -> dict[str, str]:
    """Return text by id; a folder without the demo prompts has none of them."""
    rows = read_tsv(path) if is_file(path) else []
    return {fields[0]: fields[1] for _, fields in rows if len(fields) >= 2}
