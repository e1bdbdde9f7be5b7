"""A study on disk: what the public sees, ``blinded/study.json``, and what only its makers know, ``key.json``.

    blinded/study.json          a `Study`
    blinded/audio/<name>.flac   clips, references, and the sounds of the checks (.mp3, .opus)
    key.json                    a `Key`: which system and candidate a name stands for

All names in the blinded folder are 16 hex digits. They are drawn from a seed that the key holds: with it, and with
nothing in the blinded folder, they can be guessed.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from music.durable import write_text
from music.errors import InputError
from music.optional_libraries import OptionalLibraries, install_extra
from music.paths import is_file, reading

BLINDED, STUDY, KEY, AUDIO = "blinded", "study.json", "key.json", "audio"
HEADS = ("alignment", "musicality")  # the questions, in the order in which they are asked
CLEAN, SPOILT = "clean", "spoilt"  # sides of the trials that check raters
_FILE = re.compile(r"[^/\\]+\.(flac|mp3|opus)")
_CUT = 0.2  # s by which a clip may last shorter than told; MP3 is made of frames

#: what all of its commands need but `plan`
LISTENING = OptionalLibraries(
    "a listening test",
    ("pyloudnorm", "mutagen", "fastapi", "pydantic", "uvicorn", "sqlalchemy", "choix", "krippendorff"),
    install_extra("listening"),
)

Turn = tuple[str, bool]  # a trial, and whether its second clip is called A
R = TypeVar("R", "Study", "Key")


@dataclass(frozen=True)
class Settings:
    """How raters are asked: as `build` explains its options of these names; `consent` is the text itself."""

    title: str
    consent: str
    ties: bool
    minimum_listening: float
    reading_seconds: float
    completion_code: str


@dataclass(frozen=True)
class HeadphoneTrial:
    """Three noises in a file, and which of them holds the pitch (0 to 2)."""

    file: str
    right: int


@dataclass(frozen=True)
class StudyPrompt:
    """What both clips of a trial were made for; `reference` is a file name, or empty."""

    text: str
    lyrics: str
    reference: str


@dataclass(frozen=True)
class StudyClip:
    """A clip: its length in s, and the peaks of equal parts of it in percent of full scale, unless they are hidden."""

    seconds: float
    outline: Sequence[int]


@dataclass(frozen=True)
class Trial:
    """Two clips, by their file names, for one prompt."""

    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class Study:
    """All that raters may see, though each is shown only their own trials.

    Attributes
    ----------
    id
        16 hex digits.
    settings
        How raters are asked.
    prompts, clips, trials
        By name; a clip's name is that of its file.
    practice
        Name of the trial that does not count.
    headphones
        Trials of the headphone check.
    volume
        File to set the volume by.
    schedules
        Turns of each place that a rater can take.
    """

    id: str
    settings: Settings
    prompts: Mapping[str, StudyPrompt]
    clips: Mapping[str, StudyClip]
    trials: Mapping[str, Trial]
    practice: str
    headphones: Sequence[HeadphoneTrial]
    volume: str
    schedules: Sequence[Sequence[Turn]]

    @property
    def files(self) -> set[str]:
        """Names of all audio files."""
        named = {*self.clips, self.volume, *(trial.file for trial in self.headphones)}
        return named | {prompt.reference for prompt in self.prompts.values() if prompt.reference}

    def shown(self, turn: Turn) -> tuple[str, str]:
        """Return the clips that a turn calls A and B."""
        trial = self.trials[turn[0]]
        return (trial.second, trial.first) if turn[1] else (trial.first, trial.second)

    def needed_seconds(self, clip: str) -> float:
        """Return how much of a clip must have been heard; a player may miss a little of its end."""
        return min(self.settings.minimum_listening, 0.9 * self.clips[clip].seconds)


@dataclass(frozen=True)
class KeyClip:
    """Where a clip of the blinded folder comes from.

    Attributes
    ----------
    systems
        Those that offer it; none for a spoilt copy.
    source, source_sha256
        The file that it was made from.
    generator, candidate
        What made that file, and which of the clips of the prompt it is.
    sha256
        Hash of the file in the blinded folder.
    gain
        Gain that was applied, in dB.
    loudness, peak
        Level of the file, in LUFS and dB of full scale.
    """

    systems: Sequence[str]
    source: str
    source_sha256: str
    generator: str
    candidate: int
    sha256: str
    gain: float
    loudness: float
    peak: float


@dataclass(frozen=True)
class KeyTrial:
    """What a trial is.

    Attributes
    ----------
    kind
        pair, catch, identical or practice.
    first, second
        Systems; `CLEAN` and `SPOILT` in a catch or practice trial.
    """

    kind: str
    first: str
    second: str


@dataclass(frozen=True)
class KeyPrompt:
    """The id of a prompt, and the facts that raters do not see."""

    id: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """What the makers know.

    Attributes
    ----------
    study
        Id of the study.
    seed
        Seed of all that is drawn.
    systems
        Where each system comes from, by name, in the order of the tables.
    prompts, clips, trials
        By their names in the study.
    """

    study: str
    seed: int
    systems: Mapping[str, str]
    prompts: Mapping[str, KeyPrompt]
    clips: Mapping[str, KeyClip]
    trials: Mapping[str, KeyTrial]


def write_record(path: Path, record: Study | Key) -> None:
    """Write a study or a key."""
    write_text(path, json.dumps(dataclasses.asdict(record), ensure_ascii=False, allow_nan=False) + "\n")


def read_study(folder: str | Path) -> Study:
    """Read the study in a blinded folder; `InputError` if there is none, or it is not whole."""
    path = Path(folder) / STUDY
    if not is_file(path) and is_file(Path(folder) / BLINDED / STUDY):
        raise InputError(f"{folder} holds a key: name its folder {Path(folder) / BLINDED} instead")
    study = _read(path, Study)
    _check_whole(path, study)
    return study


def _read(path: Path, kind: type[R]) -> R:
    from pydantic import TypeAdapter, ValidationError

    if not is_file(path):
        raise InputError(f"{path} does not exist: `python -m experiments.ab_test build` makes a study")
    with reading(path):
        data = path.read_bytes()
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path} is not what `build` writes: {place} {first['msg']}") from error


def check_audio(folder: Path, study: Study) -> None:
    """Check that no rater can meet with a clip that a blinded folder lacks, or that a copy has cut.

    Raises
    ------
    InputError
        If a file is missing, or cannot be decoded to its end.
    """
    import soundfile

    missing = [name for name in sorted(study.files) if not (folder / AUDIO / name).is_file()]
    if missing:
        raise InputError(
            f"{folder / AUDIO} lacks {missing[0]} ({len(missing)} of {len(study.files)} files): copy the whole folder"
        )
    for name in sorted(study.files):
        try:
            frames, rate = soundfile.read(folder / AUDIO / name, dtype="int16")
            told = study.clips[name].seconds if name in study.clips else len(frames) / rate
            whole = len(frames) > 0 and abs(len(frames) / rate - told) < _CUT
        except (OSError, RuntimeError):  # soundfile's error is the latter
            whole = False
        if not whole:
            raise InputError(f"{folder / AUDIO / name} is cut short or damaged: copy the whole folder again")


def _check_whole(path: Path, study: Study) -> None:
    """`InputError` if a study names something that is not in it, or a file that would lie elsewhere."""
    named = {study.practice, *(trial for turns in study.schedules for trial, _ in turns)}
    unknown = [f"trial {name!r}" for name in sorted(named - study.trials.keys())]
    for one in study.trials.values():
        unknown += [f"prompt {one.prompt!r}"] * (one.prompt not in study.prompts)
        unknown += [f"clip {name!r}" for name in (one.first, one.second) if name not in study.clips]
    references = {one.reference for one in study.prompts.values()} - {""}
    unknown += [f"reference {name!r}" for name in sorted(references - study.clips.keys())]
    if unknown or not all(study.schedules) or not study.schedules:
        told = (
            f"names the {unknown[0]}, which it does not have" if unknown else "has a schedule without turns"
        )
        raise InputError(f"{path} {told}: build the study again")
    odd = sorted(name for name in study.files if not _FILE.fullmatch(name))
    if odd:
        raise InputError(f"{path} names the file {odd[0]!r}, which no study has: build the study again")


def _check_key(path: Path, study: Study, key: Key) -> None:
    """`InputError` if a key does not tell what everything in its study is."""
    heard = {name for trial in study.trials.values() for name in (trial.first, trial.second)}
    offered = {name for clip in key.clips.values() for name in clip.systems}
    compared = {name for one in key.trials.values() if one.kind == "pair" for name in (one.first, one.second)}
    lacking = {
        "trial": study.trials.keys() - key.trials.keys(),
        "prompt": study.prompts.keys() - key.prompts.keys(),
        "clip": heard - key.clips.keys(),
        "system": (offered | compared) - key.systems.keys(),
    }
    for kind, names in lacking.items():
        if names:
            raise InputError(f"{path} lacks the {kind} {min(names)!r}: it is not the whole key of this study")


def load_study(folder: str | Path) -> tuple[Study, Key]:
    """Read study and key from the folder that `build` wrote.

    Raises
    ------
    InputError
        If one is missing or not whole, or they do not belong together.
    """
    key = _read(Path(folder) / KEY, Key)
    study = read_study(Path(folder) / BLINDED)
    if study.id != key.study:
        raise InputError(f"{folder}: the key belongs to study {key.study}, the blinded folder to {study.id}")
    _check_key(Path(folder) / KEY, study, key)
    return study, key
