"""Classes written for CMI-RewardBench's own runner, used unchanged as scorers.

Such a class has `sr`, Hz, and `score_batch(inputs, batch_size, max_dur)`, which returns `[N, 2]`: alignment, then
musicality. An input has `audio` and `ref_audio` (paths here), `text` and `lyrics`. Its constructor may take `device`
and `checkpoint`. Inputs are handed over one by one, for a foreign batch might let them sway each other, and only after
their audio could be decoded whole: such a class may take what it cannot read for silence.
"""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from music.clips import read_clip
from music.errors import InputError
from music.hashing import canonical_json, sha256_file, sha256_folder, sha256_text
from music.memory import is_out_of_memory
from music.paths import is_folder
from reward.cmi_rm.towers import MAX_SECONDS
from reward.protocol import Scorer, ScoreRequest
from reward.scoring.read_ahead import read_ahead

_WORKERS = 2  # threads that decode audio ahead of the class


@dataclass(frozen=True)
class BatchInput:
    """One piece of audio and its prompt, as such a class reads it.

    Attributes
    ----------
    audio
        Path of the file.
    text, lyrics
        Parts of the prompt; may be empty.
    ref_audio
        Path of the reference, or None.
    """

    audio: str
    text: str = ""
    lyrics: str = ""
    ref_audio: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """Return the fields by name."""
        return asdict(self)


class BatchPlugIn(Scorer):
    """An object with `sr` and `score_batch` as a scorer; see `reward.protocol.Scorer`.

    Its hash is that of its class's source file, its checkpoint and `max_seconds`; what it imports is no part of it.

    Parameters
    ----------
    model
        The object.
    checkpoint
        File or folder that it was made from, if any.
    max_seconds
        Length of the beginning of audio that it is told to hear, as `max_dur`; s.
    """

    metrics = ("musicality", "alignment")

    def __init__(self, model: Any, checkpoint: str | None = None, max_seconds: float = MAX_SECONDS) -> None:
        self._model, self._seconds = model, max_seconds
        self.name = type(model).__name__
        self.features = getattr(model, "features", (self.name,))
        facts = {
            "class": f"{type(model).__module__}:{self.name}",
            "source": sha256_file(inspect.getfile(type(model))),
            "checkpoint": _hash(checkpoint),
            "rate": int(model.sr),
            "seconds": max_seconds,
        }
        self.hash = sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return musicality and alignment of each request, one after another.

        Raises
        ------
        InputError
            If audio or a reference cannot be decoded, or the class fails or gives anything other than `[1, 2]`.
        """
        return [self._score(one) for one in read_ahead(self._input, requests, _WORKERS, _WORKERS)]

    def _input(self, request: ScoreRequest) -> BatchInput:
        if not isinstance(request.audio, Path):
            raise InputError(f"{self.name} takes files: write the clip to one")
        prompt = request.prompt
        for path in filter(None, (request.audio, prompt.reference)):
            read_clip(path, self._seconds)
        reference = None if prompt.reference is None else str(prompt.reference)
        return BatchInput(str(request.audio), prompt.text, prompt.lyrics, reference)

    def _score(self, given: BatchInput) -> dict[str, float]:
        try:
            scores = self._model.score_batch([given], batch_size=1, max_dur=self._seconds)
            found = torch.as_tensor(scores, dtype=torch.float64, device="cpu").detach()
        except Exception as error:
            if is_out_of_memory(error):  # no other request fares better
                raise
            raise InputError(
                f"score_batch of {self.name} fails for {given.audio}: {type(error).__name__}: {error}"
            ) from error
        if found.shape != (1, 2):
            raise InputError(
                f"score_batch of {self.name} must return [1, 2] for one input, got {list(found.shape)}"
            )
        return {"musicality": float(found[0, 1]), "alignment": float(found[0, 0])}


def _hash(checkpoint: str | None) -> str:
    if checkpoint is None:
        return ""
    return sha256_folder(checkpoint) if is_folder(checkpoint) else sha256_file(checkpoint)
