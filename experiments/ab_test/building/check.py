"""Check a study: nothing in the blinded folder tells a system, and the clips of a trial differ in nothing but music.

    python -m experiments.ab_test check runs/listening_test

1. The blinded folder holds the files that the study names, all named by 16 hex digits, and nothing else.
2. No name of a system or generator, no path or hash of a source is in a file name, in a text, in the tags of a file
   (there must be none), or in its bytes (only those of six letters or more: shorter ones come by chance). The words
   that stand in any study, such as names of fields, tell nothing.
3. Every file is the one that the key describes; all have the same time, sample rate and number of channels; the clips
   of a trial are equally long and equally loud, and no true peak is above full scale.
4. The schedules are made of the study's trials, and A is each side of a pair equally often, to within one rater.

It prints a line for each finding, and fails if there is any.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch

from experiments.ab_test.building.config import CONSENT, TITLE
from experiments.ab_test.building.sounds import FORMATS, Level, encode, measure, tags_of
from experiments.ab_test.study import AUDIO, BLINDED, LISTENING, STUDY, Key, KeyClip, Study, load_study
from music.clips import Clip, read_clip, read_header
from music.errors import InputError
from music.hashing import sha256_file

_FILE = re.compile(r"[0-9a-f]{16}\.(flac|mp3|opus)")
_LOUDNESS = 0.3  # LU by which the clips of a trial may differ
_SECONDS = 0.001  # by which they may differ
_LONG = 6  # letters; many megabytes of audio hold shorter names by chance


@dataclass(frozen=True)
class Check:
    """Check that a study is blind and fair.

    Parameters
    ----------
    study
        Folder that build wrote.
    """

    POSITIONALS: ClassVar = ("study",)
    LIBRARIES: ClassVar = (LISTENING,)

    study: Path


def main(options: Check) -> int:
    """Print what is wrong; return 1 if anything is."""
    study, key = load_study(options.study)
    findings = list(findings_of(options.study / BLINDED, study, key))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings in {len(study.files)} audio files and {len(study.trials)} trials")
    return 1 if findings else 0


def findings_of(folder: Path, study: Study, key: Key) -> Iterator[str]:
    """Yield what is wrong with a blinded folder, a line each."""
    yield from _wrong_files(folder, study)
    yield from _leaks(folder, study, key)
    yield from _unequal_clips(folder, study, key)
    yield from _wrong_schedules(study, key)


def _wrong_files(folder: Path, study: Study) -> Iterator[str]:
    expected = {STUDY, AUDIO, *(f"{AUDIO}/{name}" for name in study.files)}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    yield from (f"{name} is missing" for name in sorted(expected - found))
    yield from (f"{name} does not belong there" for name in sorted(found - expected))
    unnamed = sorted(name for name in study.files if not _FILE.fullmatch(name))
    yield from (f"{name!r} is no name of 16 hex digits" for name in unnamed)
    if len({path.stat().st_mtime for path in folder.glob(f"{AUDIO}/*")}) > 1:
        yield "the audio files differ in their times: touch them all alike"


def _leaks(folder: Path, study: Study, key: Key) -> Iterator[str]:
    secrets = secrets_of_key(key)
    found = (path.name for path in folder.rglob("*"))
    names = {name: name for name in found if name not in (STUDY, AUDIO) and not _FILE.fullmatch(name)}
    yield from leaks_in_texts(names, secrets)
    yield from leaks_in_texts({STUDY: "\n".join(_texts(dataclasses.asdict(study)))}, secrets)
    for name in sorted(study.files):
        if (folder / AUDIO / name).is_file():
            try:
                yield from (f"{name} has the tag {tag!r}" for tag in tags_of(folder / AUDIO / name))
            except InputError as error:
                yield str(error)
            yield from leaks_in_bytes(folder / AUDIO / name, secrets)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a study, without the names of its fields and files and what any study says by default."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str) and value not in (TITLE, CONSENT) and not _FILE.fullmatch(value):
        yield value


def secrets_of(systems: Iterable[str], clips: Iterable[KeyClip]) -> set[str]:
    """Return what must not appear: names of systems and generators, hashes and paths of the sources."""
    found = set(systems)
    for clip in clips:
        found |= {clip.generator, clip.source, clip.source_sha256}
    return found - {""}


def secrets_of_key(key: Key) -> set[str]:
    """Return what of a key must not appear."""
    return secrets_of(key.systems, key.clips.values()) | set(key.systems.values())


def leaks_in_texts(texts: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Return a finding for each secret that stands as words of its own in a text; texts by their place."""
    found = []
    for secret in sorted(one for one in secrets if any(map(str.isalnum, one))):
        words = re.compile(rf"(?<![a-z0-9]){re.escape(secret.lower())}(?![a-z0-9])")
        found += [f"{place} holds {secret!r}" for place, text in texts.items() if words.search(text.lower())]
    return found


def leaks_in_bytes(path: Path, secrets: Iterable[str]) -> list[str]:
    """Return a finding for each secret of six letters or more that stands anywhere in the bytes of a file.

    What the encoder writes into any file, such as its own name, tells nothing.
    """
    data, own = path.read_bytes().lower(), _words_of_encoder(path.suffix[1:])
    long = [secret for secret in sorted(secrets) if len(secret) >= _LONG]
    found = [secret for secret in long if secret.lower().encode() in data]
    return [f"{path.name} holds {secret!r}" for secret in found if secret.lower().encode() not in own]


@cache
def _words_of_encoder(kind: str) -> bytes:
    return encode(Clip(torch.zeros(1, 4_800), 48_000), kind).lower() if kind in FORMATS else b""


def _unequal_clips(folder: Path, study: Study, key: Key) -> Iterator[str]:
    headers = {}
    levels: dict[str, Level] = {}
    for name, told in key.clips.items():
        path = folder / AUDIO / name
        if not path.is_file():
            continue  # reported above
        if sha256_file(path) != told.sha256:
            yield f"{name} is not the file that the key describes"
        try:
            headers[name] = read_header(path)
            levels[name] = level = measure(read_clip(path), name)
        except InputError as error:
            yield str(error)
            continue
        if level.peak > 0:
            yield f"{name} has a true peak of {level.peak:.1f} dB: it may be clipped"
    if len({(header.sample_rate, header.channels) for header in headers.values()}) > 1:
        yield "the clips differ in sample rate or channels"
    for name, trial in study.trials.items():
        if trial.first in levels and trial.second in levels:
            one, other = headers[trial.first], headers[trial.second]
            if abs(one.samples - other.samples) > _SECONDS * one.sample_rate:
                yield f"trial {name}: its clips last {one.samples} and {other.samples} samples"
            apart = abs(levels[trial.first].loudness - levels[trial.second].loudness)
            if apart > _LOUDNESS:
                yield f"trial {name}: its clips are {apart:.1f} LU apart"


def _wrong_schedules(study: Study, key: Key) -> Iterator[str]:
    sides: Counter[tuple[str, bool]] = Counter()
    for turns in study.schedules:
        seen: set[str] = set()
        for trial, swapped in turns:
            if trial not in seen and key.trials[trial].kind == "pair":  # a repeat shows the other side
                sides[trial, swapped] += 1
            seen.add(trial)
    for trial in sorted({trial for trial, _ in sides}):
        if abs(sides[trial, False] - sides[trial, True]) > 1:
            yield f"trial {trial}: A is its first clip {sides[trial, False]} times, its second {sides[trial, True]}"
