"""The questions to a judge: a pair in one order, or a clip alone, identified by its content."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.files import read_text
from music.hashing import canonical_json, sha256_file, sha256_text
from music.paths import is_file
from music.prompts import Prompt
from reward.judge.sound import Sound
from reward.judgements import Preference

ORDERS = ("original", "reversed")
STYLES = ("input_audio", "audio_url")
_SEPARATOR = "\n---\n"


@dataclass(frozen=True)
class Instruction:
    """What the judge is told: the task, and the form of the answer.

    Attributes
    ----------
    name
        Name of the file, such as ``pairwise_1``.
    task, form
        The two parts of the file.
    """

    name: str
    task: str
    form: str

    @cached_property
    def hash(self) -> str:
        """SHA-256 of its text."""
        return sha256_text(self.task + _SEPARATOR + self.form)


def load_instruction(name: str) -> Instruction:
    """Return a shipped instruction by its name, or the text of any file.

    Raises
    ------
    InputError
        If there is none, or it lacks the line ``---`` between the task and the form of the answer.
    """
    if name in _shipped():
        text = (files("reward.judge") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
    elif is_file(name):
        text = read_text(Path(name))
    else:
        raise InputError(f"there is no instruction {name!r}: expected {' or '.join(_shipped())}, or a file")
    task, separator, form = text.partition(_SEPARATOR)
    if not separator:
        raise InputError(f"instruction {name} lacks a line --- between the task and the form of the answer")
    return Instruction(Path(name).stem, task.strip(), form.strip())


def _shipped() -> list[str]:
    return sorted(path.name.removesuffix(".txt") for path in (files("reward.judge") / "prompts").iterdir())


@dataclass(frozen=True)
class Judge:
    """A model and how it is asked.

    Attributes
    ----------
    model
        Name of the model at the endpoint.
    instruction
        What it is told.
    sound
        How audio is sent to it.
    style
        How audio stands in a message: ``input_audio``, or ``audio_url`` with a data URL.
    temperature
        Temperature of its sampling.
    max_tokens
        Most tokens of an answer.
    """

    model: str
    instruction: Instruction
    sound: Sound
    style: str = "input_audio"
    temperature: float = 0.0
    max_tokens: int = 400

    @property
    def facts(self) -> dict[str, Any]:
        """What decides an answer beside the question."""
        return asdict(self) | {"instruction": self.instruction.hash}

    def key(self, pair: Preference, order: str) -> str:
        """Return the identity of a question about a pair: all that decides its answer, and no path or id."""
        first, second = _heard(pair, order)
        return self._key(pair.prompt, {"first": first, "second": second})

    def key_of_clip(self, prompt: Prompt, audio: Path) -> str:
        """Return the identity of a question about one clip."""
        return self._key(prompt, {"candidate": audio})

    def _key(self, prompt: Prompt, candidates: Mapping[str, Path]) -> str:
        facts = {
            **self.facts,
            "text": prompt.text,
            "lyrics": prompt.lyrics,
            "reference": self._content(prompt.reference) if prompt.reference else None,
        }
        return sha256_text(
            canonical_json(facts | {name: self._content(path) for name, path in candidates.items()})
        )

    @cached_property
    def _contents(self) -> dict[Path, str]:
        return {}

    def _content(self, path: Path) -> str:
        """Return the hash of a file, which is read once."""
        if path not in self._contents:
            self._contents[path] = sha256_file(path)
        return self._contents[path]

    def body(self, pair: Preference, order: str) -> dict[str, Any]:
        """Return the request about a pair, as ``/chat/completions`` takes it.

        Raises
        ------
        InputError
            If audio cannot be read, or is too large.
        """
        first, second = _heard(pair, order)
        return self._body(pair.prompt, {"Candidate A:": first, "Candidate B:": second})

    def body_of_clip(self, prompt: Prompt, audio: Path) -> dict[str, Any]:
        """Return the request about one clip; raises as `body` does."""
        return self._body(prompt, {"Candidate:": audio})

    def _body(self, prompt: Prompt, candidates: Mapping[str, Path]) -> dict[str, Any]:
        parts = [_text(f"Description: {prompt.text or '(none)'}")]
        if prompt.lyrics:
            parts.append(_text(f"Lyrics:\n{prompt.lyrics}"))
        if prompt.reference:
            parts += [_text("Reference recording:"), self._audio(prompt.reference)]
        for title, path in candidates.items():
            parts += [_text(title), self._audio(path)]
        parts.append(_text(self.instruction.form))
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.instruction.task},
                {"role": "user", "content": parts},
            ],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _audio(self, path: Path) -> dict[str, Any]:
        data, kind = self.sound.encoded(path), self.sound.format
        if self.style == "audio_url":
            return {"type": "audio_url", "audio_url": {"url": f"data:audio/{kind};base64,{data}"}}
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


def _heard(pair: Preference, order: str) -> tuple[Path, Path]:
    """Return the clips as they are heard in an order."""
    clips = (pair.audio_a, pair.audio_b)
    return clips if order == "original" else (clips[1], clips[0])


def _text(text: str) -> Mapping[str, str]:
    return {"type": "text", "text": text}


def questions_of(judge: Judge, pairs: Sequence[Preference]) -> dict[str, tuple[Preference, str]]:
    """Return every distinct question about pairs by its key: the pair and the order."""
    return {judge.key(pair, order): (pair, order) for pair in pairs for order in ORDERS}
