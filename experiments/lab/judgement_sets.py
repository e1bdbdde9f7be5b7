"""Writes sets of human judgement on the lab's songs, in the layouts of the published ones.

    python -m experiments.lab.judgement_sets --output runs/lab/sets
    python -m experiments.lab.judgement_sets --only CMI-RewardBench     # what `python -m reward.benchmark` scores

    CMI-Pref-Pseudo/train.jsonl                 labels in which a judge agrees with itself (`hearing.py`)
    CMI-Pref-Pseudo/train_unfiltered.jsonl      what it said first, of all pairs that it was asked about
    CMI-Pref-Pseudo/validation*.jsonl           the same of other pairs
    CMI-Pref/train.jsonl, validation.jsonl      preferences with confidence, of one listener each (`listeners.py`)
    MusicEval-full/                             mean opinions of five listeners, with splits and prompts
    CMI-RewardBench/all_test.jsonl              what models are tested on: rows of all four sources, 5 to 40 s long

`python -m reward.data prepare` reads them as it reads the published ones. The benchmark has 1,000 pairs of each of four
modalities as CMI-Pref's test set has, 1,340 battles with one vote as Music Arena, 500 rated clips as PAM and 413 as
MusicEval; every tenth pair has a second row with another listener's vote, and pairs name as `model_a` and `model_b`
what has damaged their clips most. Its songs are those of the held-out pairs, or belong to the test split as they do.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import soundfile

from experiments.lab.hearing import Hearing
from experiments.lab.listeners import opinion, vote
from experiments.lab.pairs import CONDITIONS, clip_of, pair
from experiments.lab.workers import cores, spread
from experiments.lab.world.coded_audio import shipped_codec
from experiments.lab.world.corpus import Song, song
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip, write_clip
from music.command import refuse_below_one, run
from music.durable import claim_work, write_bytes, write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.shipped_files import LAB
from reward.cmi_rm.weights import hash_tensors
from reward.judge.consistency import label_of_pair
from reward.judge.questions import ORDERS
from reward.judgements import HEADS

MODALITIES = {
    "text": "text",
    "text+lyrics": "text+lyrics",
    "text+reference": "text+ref",
    "all": "text+lyrics+ref",
}
FRESH = 100_000  # first index of the pairs that people hear to train on: no other training hears them
LISTENERS = 5  # of a mean opinion
TWICE = 10  # every so many pairs of the benchmark are heard by two
CHUNK = 20
#: pairs of each modality, battles, rated clips
SIZES = {
    "CMI-Pref-Pseudo": 2_500,
    "CMI-Pref-Pseudo validation": 200,
    "CMI-Pref": 1_000,
    "CMI-Pref validation": 200,
    "CMI-Pref test": 1_000,
    "Music Arena": 1_340,
}
RATED = {"MusicEval train": 2_000, "MusicEval": 413, "PAM": 500}


@dataclass(frozen=True)
class WriteSets:
    """Write sets of human-like judgement in the layouts of the published ones.

    Parameters
    ----------
    output
        Folder for the sets; audio that is there is kept.
    only
        Make this one alone: CMI-Pref-Pseudo, CMI-Pref, MusicEval-full or CMI-RewardBench; all by default.
    share
        Of each set that is made.
    models
        Folder of the lab's models, whose codec some of the audio passes.
    workers
        Processes that work side by side.
    """

    output: Path = Path("runs/lab/sets")
    only: str = ""
    share: float = 1.0
    models: Path = LAB
    workers: int = cores()

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "workers")
        if not 0 < self.share <= 1:
            raise InputError(f"--share must be above 0 and at most 1, got {self.share}")
        if self.only not in ("", *_SETS):
            raise InputError(f"--only must be one of {', '.join(_SETS)}, got {self.only!r}")


def main(options: WriteSets) -> None:
    """Write the sets and say where they are."""
    codec = shipped_codec(options.models)
    claim_work(options.output, codec=hash_tensors(codec.state_dict()), share=options.share)
    make = partial(_made, options.workers, codec)
    count = {name: max(1, round(size * options.share)) for name, size in (SIZES | RATED).items()}
    for name, write in _SETS.items():
        if options.only in ("", name):
            write(options.output / name, count, make)
    print(options.output)


def _made(workers: int, codec: SpectralCodecModel, work: Any, wanted: Iterable[Any], name: str) -> list[dict]:
    """Return the rows that `work` makes, in order."""
    items = list(wanted)
    parts = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    return [row for rows in spread(partial(_chunk, work, codec), parts, workers, name) for row in rows]


def _chunk(work: Any, codec: SpectralCodecModel, wanted: Sequence[Any]) -> list[dict]:
    return [work(codec, one) for one in wanted]


def _written_pair(
    folder: Path, place: str, codec: SpectralCodecModel, wanted: tuple[str, str, int]
) -> tuple[dict, dict[str, str], dict[str, Song]]:
    """Write the audio of a pair, and return its row, the names of its files and its songs."""
    row, songs = pair(*wanted)
    names = {part: f"{place}/{row['id']}-{part}.flac" for part in songs}
    for part, one in songs.items():
        if not (folder / names[part]).exists():
            coded = row["facts"]["coded"] and part != "reference"
            write_clip(folder / names[part], clip_of(one, codec if coded else None))
    return row, names, songs


def _truth(row: dict, songs: dict[str, Song]) -> dict[str, float]:
    """Return by how much clip a is truly the better one, as `vote` counts."""
    return {
        "musicality": songs["b"].severity - songs["a"].severity,
        "alignment": 1.0 if row["preference_alignment"] == "a" else -1.0,
    }


def write_pseudo(folder: Path, count: dict[str, int], make: Any) -> None:
    """Write pairs, so many of each modality, as a judge labels them that is asked in both orders."""
    for split, size in {
        "train": count["CMI-Pref-Pseudo"],
        "validation": count["CMI-Pref-Pseudo validation"],
    }.items():
        wanted = [(split, kind, index) for kind in CONDITIONS for index in range(size)]
        judged = make(partial(_judged, folder), wanted, f"CMI-Pref-Pseudo {split}")
        for name, keep in {split: "consistent", f"{split}_unfiltered": "original"}.items():
            rows = []
            for one in judged:
                labels = {head: label_of_pair(one["verdicts"], head, keep) for head in HEADS}
                if any(labels.values()):
                    named = {f"preference-{head}": _published(label) for head, label in labels.items()}
                    rows.append(one["row"] | named)
            write_text(folder / f"{name}.jsonl", "".join(map(dump_line, rows)))


def write_released(folder: Path, count: dict[str, int], make: Any) -> None:
    """Write preferences of people, to train on."""
    for split, size in {"train": count["CMI-Pref"], "validation": count["CMI-Pref validation"]}.items():
        wanted = [(split, kind, FRESH + index) for kind in CONDITIONS for index in range(size)]
        rows = make(partial(_preference, folder, "released"), wanted, f"CMI-Pref {split}")
        write_text(folder / f"{split}.jsonl", "".join(map(dump_line, rows)))


def write_benchmark(folder: Path, count: dict[str, int], make: Any) -> None:
    """Write rows of all four sources, which say that they are not the published ones."""
    pairs = [("test", kind, index) for kind in CONDITIONS for index in range(count["CMI-Pref test"])]
    again = [one for one in pairs if one[2] % TWICE == 0]
    battles = [("test", CONDITIONS[index % 4], FRESH + index) for index in range(count["Music Arena"])]
    rows = [
        *make(partial(_preference, folder, "benchmark"), pairs, "CMI-Pref test"),
        *make(partial(_battle, folder), battles, "Music Arena"),
        *make(partial(_rating, folder, "PAM"), range(count["PAM"]), "PAM"),
        *make(partial(_rating, folder, "MusicEval"), range(count["MusicEval"]), "MusicEval"),
        *make(partial(_preference, folder, "benchmark", listener=2), again, "CMI-Pref test, second votes"),
    ]
    marked = (row | {"made_by": "experiments.lab.judgement_sets"} for row in rows)
    write_text(folder / "all_test.jsonl", "".join(map(dump_line, marked)))


def _judged(folder: Path, codec: SpectralCodecModel, wanted: tuple[str, str, int]) -> dict[str, Any]:
    """Return a row of a released set without its labels, and what the judge says of it in both orders."""
    row, names, songs = _written_pair(folder, "audio", codec, wanted)
    judge, verdicts = Hearing(), {}
    perceived = judge.perceived(row, songs)
    for order in ORDERS:
        turned = order == "reversed"
        given = {head: judge.verdict(perceived[head], head, turned, row["id"]) for head in HEADS}
        verdicts[order] = {head: one.reversed() if turned else one for head, one in given.items()}
    return {"row": _released(row, names), "verdicts": verdicts}


def _released(row: dict, names: dict[str, str]) -> dict[str, str]:
    prompt = {"text": row["text"], "lyrics": row["lyrics"], "ref-audio": names.get("reference", "")}
    return {"audio-a": names["a"], "audio-b": names["b"], **prompt}


def _published(label: str) -> str:
    return {"a": "model_a", "b": "model_b"}.get(label, label)


def _models(songs: dict[str, Song]) -> dict[str, str]:
    """Return what to call the makers of both clips: what has damaged a clip most."""
    damages = {side: songs[side].damage for side in "ab"}
    return {
        f"model_{side}": f"lab-{max(damage, key=lambda kind: damage[kind], default='clean')}"
        for side, damage in damages.items()
    }


def _preference(
    folder: Path, layout: str, codec: SpectralCodecModel, wanted: tuple[str, str, int], listener: int = 1
) -> dict:
    """Return a row of CMI-Pref, as the released sets or the benchmark have it."""
    row, names, songs = _written_pair(folder, "CMI-Pref_data", codec, wanted)
    name = (row["id"],) if listener == 1 else (row["id"], listener)
    votes = {head: vote(value, head, *name) for head, value in _truth(row, songs).items()}
    judged = {f"preference-{head}": _published(one.label) for head, one in votes.items()}
    judged |= {f"confidence_preference-{head}": f"{one.confidence:.1f}" for head, one in votes.items()}
    if layout == "released":
        return _released(row, names) | judged
    prompt = {
        "prompt": row["text"],
        "lyrics": row["lyrics"],
        "ref-audio-path": names.get("reference", ""),
    }
    told = {"source": "cmi-arena-annotation", "split": "test", "modality": MODALITIES[wanted[1]]}
    told |= {"user id": f"listener {listener}", **_models(songs)}
    return {**told, "audio-path": names["a"], "audio2": names["b"], **prompt, **judged}


def _battle(folder: Path, codec: SpectralCodecModel, wanted: tuple[str, str, int]) -> dict:
    """Return a battle with one vote, in which damage counts more than the prompt."""
    month = ("01-2025JUL", "02-2025AUG", "03-2025SEP")[wanted[2] % 3]
    row, names, songs = _written_pair(folder, f"MusicArena_data/audio_files/{month}", codec, wanted)
    truth = _truth(row, songs)
    together = truth["musicality"] + 0.2 * truth["alignment"]
    votes = (vote(together, "musicality", row["id"], listener) for listener in range(100))
    label = next(one.label for one in votes if one.label in ("a", "b"))
    return {
        "source": "Music Arena",
        "split": "test",
        "audio-path": names["a"],
        "audio2": names["b"],
        "ref-audio-path": "",
        "prompt": row["text"],
        "lyrics": row["lyrics"],
        "preference": label.upper(),
        **_models(songs),
    }


def _rated_song(split: str, source: str, index: int) -> tuple[Song, str, float]:
    """Return a song, the text that it is rated under, and the share of its facts that the song meets."""
    one = song(split, source, index, seconds=10.0, damaged=0.8)
    other = song(split, f"{source} prompt", index, seconds=10.0)
    named = one.named_facts()
    asker = one if index % 2 else other
    met = sum(getattr(one.facts, name) == getattr(asker.facts, name) for name in named) / len(named)
    return one, asker.caption(named), met


def _rating(folder: Path, source: str, codec: SpectralCodecModel, index: int) -> dict:
    """Return a rated clip of the benchmark: PAM's with both opinions, MusicEval's with that of musicality."""
    one, text, met = _rated_song("test", source, index)
    name = f"{source}_data/{index:05d}.flac"
    if not (folder / name).exists():
        write_clip(folder / name, clip_of(one, codec if index % 4 == 0 else None))
    both = {
        "musicality": str(opinion(1 - one.severity, LISTENERS, source, "test", index, "musicality")),
        "text-music alignment": str(opinion(met, LISTENERS, source, "test", index, "alignment"))
        if source == "PAM"
        else "",
    }
    return {"source": source, "split": "test", "audio-path": name, "prompt": text, "lyrics": "", **both}


def write_musiceval(folder: Path, count: dict[str, int], make: Any) -> None:
    """Write the lists, prompts and audio of MusicEval's own layout."""
    prompts = ["id\ttext"]
    for split, size in {"train": count["MusicEval train"], "test": count["MusicEval"]}.items():
        rows = make(partial(_opinions, folder, split), range(size), f"MusicEval {split}")
        lines = [f"{row['file']},{row['musicality']},{row['alignment']}" for row in rows]
        write_text(folder / "sets" / f"{split}_mos_list.txt", "\n".join(lines) + "\n")
        prompts += [f"{row['prompt']}\t{row['text']}" for row in rows]
    write_text(folder / "prompt_info.txt", "\n".join(prompts) + "\n")


def _opinions(folder: Path, split: str, codec: SpectralCodecModel, index: int) -> dict[str, Any]:
    one, text, met = _rated_song(split, "MusicEval", index)
    prompt = f"P{split}{index:05d}"
    file = f"audiomos2025-track1-S{index % 10:03d}_{prompt}.wav"
    path = folder / "wav" / file
    if not path.exists():
        write_bytes(path, encode_wav(clip_of(one, codec if index % 4 == 0 else None)))
    return {
        "file": file,
        "prompt": prompt,
        "text": text,
        "musicality": opinion(1 - one.severity, LISTENERS, "MusicEval", split, index, "musicality"),
        "alignment": opinion(met, LISTENERS, "MusicEval", split, index, "alignment"),
    }


def encode_wav(clip: Clip) -> bytes:
    """Return a clip as a WAV of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.waveform.T.numpy(), clip.sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


_SETS = {
    "CMI-Pref-Pseudo": write_pseudo,
    "CMI-Pref": write_released,
    "MusicEval-full": write_musiceval,
    "CMI-RewardBench": write_benchmark,
}


if __name__ == "__main__":
    run(main, WriteSets)
