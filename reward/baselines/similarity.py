"""How near a clip lies to its text, or to its reference, in a space that audio and text share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from music.clips import Clip
from music.errors import InputError
from music.hashing import canonical_json, sha256_file, sha256_text
from music.prompts import Prompt
from reward.baselines.waves import first_seconds
from reward.caches import TensorCache
from reward.hearing import Hearing
from reward.protocol import Scorer, ScoreRequest

ARITHMETIC = 1  # part of every hash: raise it with any change of the code that moves scores
_CACHE_BYTES = 16 << 20
_TEXT, _REFERENCE = "text", "reference"
SUBJECTS = (_TEXT, _REFERENCE)


class JointEmbedding(ABC):
    """A model of audio and text.

    Parameters
    ----------
    place
        Folder or hub id of the model.
    name
        Name that metrics are called after.
    device
        Device of the model: auto, cpu, cuda ...
    dtype
        Numeric type: float32, or bfloat16 through autocast.

    Attributes
    ----------
    hash : str
        SHA-256 over everything that decides its embeddings.
    max_seconds : float
        Length of the beginning of audio that is heard, s.
    sample_rate : int or None
        Rate at which it hears the mean of the channels, Hz; None if that is not how it hears.
    features : tuple of str
        Trained networks that it hears with; if empty, it is told apart by its name.
    """

    name: str
    hash: str
    max_seconds: float
    sample_rate: int | None = None
    features: tuple[str, ...] = ()

    @abstractmethod
    def embed_audio(self, clip: Clip) -> torch.Tensor:
        """Return `[D]` of a clip; `InputError` if it is too short."""

    @abstractmethod
    def embed_text(self, text: str) -> torch.Tensor:
        """Return `[D]` of a text that is not empty."""


class Similarity(Scorer):
    """The dot product of the embeddings of a clip and of what it was made for, in [-1, 1].

    Parameters
    ----------
    embedding
        The model.
    subject
        Part of the prompt to compare with: text, or reference (audio).

    Raises
    ------
    InputError
        If `subject` is neither.
    """

    max_seconds: float
    takes_clips = True

    def __init__(self, embedding: JointEmbedding, subject: str = _TEXT) -> None:
        if subject not in SUBJECTS:
            raise InputError(f"similarity is to one of {', '.join(SUBJECTS)}, got {subject!r}")
        self.embedding, self._subject = embedding, subject
        self.name = embedding.name if subject == _TEXT else f"{embedding.name}_{subject}"
        self.metrics = (f"{self.name}_similarity",)
        self.max_seconds = embedding.max_seconds
        if embedding.sample_rate is not None:
            self.hears = (Hearing(True, embedding.sample_rate, self.max_seconds),)
        self.features = embedding.features or (embedding.name,)
        facts = {"arithmetic": ARITHMETIC, "embedding": embedding.hash, "subject": subject}
        self.hash = sha256_text(canonical_json(facts))
        self._subjects = TensorCache(_CACHE_BYTES)

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt without what clips are compared with; see `reward.protocol.Scorer`."""
        if self._subject == _TEXT and not prompt.text.strip():
            raise InputError(f"{self.name} compares a clip with its text, and there is none")
        if self._subject != _TEXT and prompt.reference is None:
            raise InputError(f"{self.name} compares a clip with its reference, and there is none")

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the similarity of each request; see `reward.protocol.Scorer`."""
        return [{self.metrics[0]: self._score(request)} for request in requests]

    @torch.no_grad()
    def _score(self, request: ScoreRequest) -> float:
        wanted = self._embedded_subject(request.prompt)
        heard = self.embedding.embed_audio(first_seconds(request.audio, self.max_seconds))
        return float(heard @ wanted)

    def _embedded_subject(self, prompt: Prompt) -> torch.Tensor:
        self.check_prompt(prompt)
        path = prompt.reference
        if self._subject == _TEXT or path is None:
            return self._subjects.get(prompt.text, lambda: (self.embedding.embed_text(prompt.text),))[0]
        return self._subjects.get(
            sha256_file(path), lambda: (self.embedding.embed_audio(first_seconds(path, self.max_seconds)),)
        )[0]
