"""Rows about the lab's songs as the published sets of judgements have them; what makes a row writes its audio too.

A pair is named by (split, kind, index) as in `pairs.pair`; audio that is there is kept.
"""

import io
from pathlib import Path
from typing import Any

import soundfile

from experiments.lab.judgements.hearing import Hearing
from experiments.lab.judgements.listeners import opinion, vote
from experiments.lab.judgements.pairs import clip_of_part, pair
from experiments.lab.world.coded_audio import clip_of
from experiments.lab.world.corpus import Song, song
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip, write_clip
from music.durable import write_bytes
from reward.judge.questions import ORDERS
from reward.judgements import HEADS

Pair = tuple[str, str, int]
MODALITIES = {
    "text": "text",
    "text+lyrics": "text+lyrics",
    "text+reference": "text+ref",
    "all": "text+lyrics+ref",
}
MONTHS = ("01-2025JUL", "02-2025AUG", "03-2025SEP")  # of the battles
LISTENERS = 5  # whose opinions are averaged


def published_label(label: str) -> str:
    """Return what the published sets call a preferred clip: model_a, model_b, both or neither."""
    return {"a": "model_a", "b": "model_b"}.get(label, label)


def judged_pair(folder: Path, codec: SpectralCodecModel, wanted: Pair) -> dict[str, Any]:
    """Return a row of a released set without its labels, and the judge's verdicts on it in both orders."""
    row, names, songs = _written_pair(folder, "audio", codec, wanted)
    judge, verdicts = Hearing(), {}
    perceived = judge.perceived(row, songs)
    for order in ORDERS:
        turned = order == "reversed"
        given = {head: judge.verdict(perceived[head], head, turned, row["id"]) for head in HEADS}
        verdicts[order] = {head: one.reversed() if turned else one for head, one in given.items()}
    return {"row": _released(row, names), "verdicts": verdicts}


def released_preference(folder: Path, codec: SpectralCodecModel, wanted: Pair) -> dict[str, str]:
    """Return a row of CMI-Pref as it was released to train on."""
    row, names, songs = _written_pair(folder, "CMI-Pref_data", codec, wanted)
    return _released(row, names) | _votes(row, songs)


def benchmark_preference(
    folder: Path, codec: SpectralCodecModel, wanted: Pair, listener: int = 1
) -> dict[str, str]:
    """Return a row of CMI-Pref's test set as the benchmark has it."""
    row, names, songs = _written_pair(folder, "CMI-Pref_data", codec, wanted)
    return {
        "source": "cmi-arena-annotation",
        "split": "test",
        "modality": MODALITIES[wanted[1]],
        "user id": f"listener {listener}",
        **_models(songs),
        "audio-path": names["a"],
        "audio2": names["b"],
        "prompt": row["text"],
        "lyrics": row["lyrics"],
        "ref-audio-path": names.get("reference", ""),
        **_votes(row, songs, *((listener,) if listener > 1 else ())),
    }


def battle(folder: Path, codec: SpectralCodecModel, wanted: Pair) -> dict[str, str]:
    """Return a battle with one vote, in which damage counts more than the prompt."""
    month = MONTHS[wanted[2] % len(MONTHS)]
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


def benchmark_rating(folder: Path, source: str, codec: SpectralCodecModel, index: int) -> dict[str, str]:
    """Return a rated clip of the benchmark: PAM's with both opinions, MusicEval's with that of musicality."""
    one, text, met = _rated_song("test", source, index)
    name = f"{source}_data/{index:05d}.flac"
    if not (folder / name).exists():
        write_clip(folder / name, clip_of(one, codec if index % 4 == 0 else None))
    musicality, alignment = _opinions(one, met, source, "test", index)
    return {
        "source": source,
        "split": "test",
        "audio-path": name,
        "prompt": text,
        "lyrics": "",
        "musicality": str(musicality),
        "text-music alignment": str(alignment) if source == "PAM" else "",
    }


def musiceval_row(folder: Path, split: str, codec: SpectralCodecModel, index: int) -> dict[str, Any]:
    """Return a rated clip of MusicEval's own layout: its file, its prompt by name and in words, and both opinions."""
    one, text, met = _rated_song(split, "MusicEval", index)
    prompt = f"P{split}{index:05d}"
    file = f"audiomos2025-track1-S{index % 10:03d}_{prompt}.wav"
    path = folder / "wav" / file
    if not path.exists():
        write_bytes(path, encode_wav(clip_of(one, codec if index % 4 == 0 else None)))
    musicality, alignment = _opinions(one, met, "MusicEval", split, index)
    return {"file": file, "prompt": prompt, "text": text, "musicality": musicality, "alignment": alignment}


def encode_wav(clip: Clip) -> bytes:
    """Return a clip as a WAV of 16 bits."""
    buffer = io.BytesIO()
    soundfile.write(buffer, clip.waveform.T.numpy(), clip.sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _written_pair(
    folder: Path, place: str, codec: SpectralCodecModel, wanted: Pair
) -> tuple[dict, dict[str, str], dict[str, Song]]:
    """Write the audio of a pair, and return its row, the names of its files and its songs."""
    row, songs = pair(*wanted)
    names = {part: f"{place}/{row['id']}-{part}.flac" for part in songs}
    for part, name in names.items():
        if not (folder / name).exists():
            write_clip(folder / name, clip_of_part(row, part, songs, codec))
    return row, names, songs


def _released(row: dict, names: dict[str, str]) -> dict[str, str]:
    prompt = {"text": row["text"], "lyrics": row["lyrics"], "ref-audio": names.get("reference", "")}
    return {"audio-a": names["a"], "audio-b": names["b"], **prompt}


def _truth(row: dict, songs: dict[str, Song]) -> dict[str, float]:
    """Return by how much clip a is truly the better one, as `vote` counts."""
    return {
        "musicality": songs["b"].severity - songs["a"].severity,
        "alignment": 1.0 if row["preference_alignment"] == "a" else -1.0,
    }


def _votes(row: dict, songs: dict[str, Song], *listener: int) -> dict[str, str]:
    votes = {head: vote(value, head, row["id"], *listener) for head, value in _truth(row, songs).items()}
    return {f"preference-{head}": published_label(one.label) for head, one in votes.items()} | {
        f"confidence_preference-{head}": f"{one.confidence:.1f}" for head, one in votes.items()
    }


def _models(songs: dict[str, Song]) -> dict[str, str]:
    """Return names for the makers of both clips: the damage that is strongest in a clip."""
    return {
        f"model_{side}": f"lab-{max(damage, key=damage.__getitem__, default='clean')}"
        for side in "ab"
        for damage in [songs[side].damage]
    }


def _rated_song(split: str, source: str, index: int) -> tuple[Song, str, float]:
    """Return a song, the text that it is rated under, and the share of its facts that the song meets."""
    one = song(split, source, index, seconds=10.0, damaged=0.8)
    other = song(split, f"{source} prompt", index, seconds=10.0)
    named = one.named_facts()
    asker = one if index % 2 else other
    met = sum(getattr(one.facts, name) == getattr(asker.facts, name) for name in named) / len(named)
    return one, asker.caption(named), met


def _opinions(one: Song, met: float, *name: object) -> tuple[float, float]:
    """Return the mean opinions of musicality and of alignment, from 1 to 5."""
    return (
        opinion(1 - one.severity, LISTENERS, *name, "musicality"),
        opinion(met, LISTENERS, *name, "alignment"),
    )
