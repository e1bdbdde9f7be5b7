"""Encode the audio and texts of judgements once, for all trainings.

    python -m reward.embed data/cmi_pref/rows.jsonl data/music_eval/rows.jsonl --output embeddings
    accelerate launch -m reward.embed rows.jsonl --output embeddings --embedding_dtype bfloat16

The frozen towers encode each distinct audio and text that the rows name, and `reward.train --embeddings FOLDER` reads
them from there (`reward.training.embeddings`). What is there is not encoded again, so a killed run is simply started
anew; several processes share the work. At the end the command tells how much there is and how long it took.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from music.clips import read_header
from music.command import run
from music.devices import find_device
from music.distributed.same_inputs import meet
from reward.cmi_rm.checkpoint import load_towers
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import MAX_SECONDS
from reward.judgements import audio_of, load_judgements, texts_of
from reward.training.embeddings import EmbeddingStore, audio_keys, fill_store


@dataclass(frozen=True)
class Embed:
    """Encode the audio and texts of preferences and ratings with the frozen towers.

    Parameters
    ----------
    rows
        Files of preferences and ratings.
    output
        Folder of embeddings; it may hold others, and be shared by runs.
    towers
        MuQ-MuLan that encodes audio and texts: a folder, a hub id, or lab-mulan.
    embedding_dtype
        Numeric type of stored values; with float32, training is bit for bit as from audio.
    max_seconds
        Length of the beginning of any audio that is heard, s.
    device
        Device of the towers: auto, cpu or cuda; auto is the GPU if there is one.
    """

    POSITIONALS: ClassVar = ("rows",)
    RENAMED: ClassVar = {"dtype": "embedding_dtype"}

    rows: list[Path]
    output: Path
    towers: str = "lab-mulan"
    embedding_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    max_seconds: float = MAX_SECONDS
    device: str = "auto"


def main(options: Embed) -> None:
    """Encode what the folder lacks, and tell what it holds."""
    with meet(options, options.output) as processes:
        rows = [row for path in options.rows for row in load_judgements(path)]
        towers = load_towers(options.towers, Locator(), max_seconds=options.max_seconds)
        towers = towers.to(find_device(options.device))
        store = EmbeddingStore(options.output, towers.hash, options.embedding_dtype)
        keys, texts = audio_keys(audio_of(rows), options.output), texts_of(rows)
        new = {key: path for path, key in keys.items() if key not in store}
        began = time.monotonic()
        fill_store(store, towers, keys, texts, processes)
        took = time.monotonic() - began
        if processes.is_main:
            distinct = {key: path for path, key in keys.items()}
            found = {
                "folder": str(store.folder),
                "items": len(store),
                "audio_hours": _hours(distinct.values(), options.max_seconds),
                "new_audio_hours": _hours(new.values(), options.max_seconds),
                "seconds": took,
                "gigabytes": sum(path.stat().st_size for path in store.folder.glob("*.safetensors")) / 1e9,
            }
            print(json.dumps(found, indent=1))


def _hours(paths: Iterable[Path], longest: float) -> float:
    headers = [read_header(path) for path in paths]
    return sum(min(header.samples / header.sample_rate, longest) for header in headers) / 3600


if __name__ == "__main__":
    run(main, Embed)
