"""CMI-RM as a scorer: remembers what prompts share and scores every request as if it were alone."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from music.clips import Clip, read_clip
from music.devices import autocasting, find_device, on_cores, threads_of_torch
from music.errors import InputError
from music.hashing import canonical_json, sha256_file, sha256_text
from music.prompts import Prompt
from reward.caches import TensorCache
from reward.cmi_rm.checkpoint import CMIRM, load_checkpoint
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.cmi_rm.ordinal import CHANCE
from reward.cmi_rm.towers import MAX_SECONDS
from reward.cmi_rm.weights import hash_tensors
from reward.hearing import Hearing
from reward.protocol import MUQ, Scorer, ScoreRequest

# Part of every hash: raise it with any change of the head's code that moves scores; the towers have their own.
ARITHMETIC = 1
# Parameters of towers that take longer on several threads, which wait for each other, than on one of a busy CPU. On one
# they also give the same bits whatever there are; those of the lab have 1.6 M, the published ones 708 M.
_SMALL = 1 << 24
CACHE_BYTES = 256 << 20  # of tower outputs, and once more of prompts; 120 s of audio at width 768 are 9 MB


class CMIRMScorer(Scorer):
    """Scores of musicality and alignment, and of a head that gives distributions of ratings their spreads too.

    Text and lyrics are encoded once for each distinct text, audio once for each distinct content, the
    prompt stage of the head runs once for each distinct prompt; all within caches of fixed size.

    Parameters
    ----------
    model
        Loaded model, or the folder it lies in.
    name
        Name in pools and tables; that of the folder by default.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ...
    dtype
        ``float32``, or ``bfloat16`` (autocast); by default that of a loaded model, else float32.
    max_seconds
        Length of the beginning of audio and reference that is heard, s; by default that of a loaded model, else
        `MAX_SECONDS`.
    chances
        Whether the chance of each level of the ratings is a metric too (``musicality_chance_1`` ...).

    Raises
    ------
    InputError
        If the folder does not hold a sound CMI-RM, the device does not exist, a loaded model has another `dtype` or
        `max_seconds`, or its head has no levels to give the chances of.

    Attributes
    ----------
    frames
        What the towers gave, by ``("text", TEXT)``, ``("file", SHA-256)`` or ``("clip", SHA-256)``; others that hear
        with the same towers may share it (`reward.training.stored_frames`).
    """

    takes_clips = True
    batch_size = 16
    features = (MUQ,)

    def __init__(
        self,
        model: CMIRM | str | Path,
        name: str | None = None,
        device: str = "auto",
        dtype: str | None = None,
        max_seconds: float | None = None,
        chances: bool = False,
    ) -> None:
        if isinstance(model, CMIRM):
            loaded, has = model, {"dtype": model.towers.dtype_name, "max_seconds": model.towers.max_seconds}
            for option, value in {"dtype": dtype, "max_seconds": max_seconds}.items():
                if value not in (None, has[option]):
                    raise InputError(f"{option} is {value}, but the model was loaded with {has[option]}")
        else:
            seconds = MAX_SECONDS if max_seconds is None else max_seconds
            loaded = load_checkpoint(Path(model), seconds, "float32" if dtype is None else dtype)
        self.name = name or (Path(model).resolve().name if isinstance(model, str | Path) else "cmi-rm")
        self.device = find_device(device)
        self.config, self.towers, self.head = loaded.config, loaded.towers, loaded.head
        self.heads = [self.head]
        self.max_seconds = self.towers.max_seconds
        self.hears = (Hearing(True, self.towers.sample_rate, self.max_seconds),)
        self._chances = chances
        if chances and self.head.ratings is None:
            raise InputError(f"{self.name} gives scores, and no chances of ratings: leave chances out")
        self.metrics = tuple(self._measured(torch.zeros(1, self.head.outputs)))
        self.hash = self._hash(self.head)  # taken while the weights are on the CPU
        self.towers.to(self.device)
        self.head.to(self.device)
        self._towers = [self.towers]  # of each core
        self._cores = 1
        parameters = sum(one.numel() for one in self.towers.parameters())
        self._small = self.device.type == "cpu" and parameters < _SMALL
        self.forget()

    def forget(self) -> None:
        """Empty the caches of audio, texts and prompts."""
        self.frames: TensorCache = TensorCache(CACHE_BYTES)
        self._prompts = TensorCache(CACHE_BYTES)

    def _hash(self, head: RewardHead) -> str:
        """Return the SHA-256 over weights, config, towers, numeric type, `max_seconds` and versions, ours too."""
        facts = {
            "arithmetic": ARITHMETIC,
            "head": hash_tensors(head.state_dict()),
            "config": head.config.acting(),
            "towers": self.towers.hash,  # with numeric type, seconds and versions
            **({"chances": True} if self._chances else {}),
        }
        return sha256_text(canonical_json(facts))

    @torch.no_grad()
    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the metrics of each request; see `reward.protocol.Scorer`."""
        self._cores = torch.get_num_threads() if self.device.type == "cpu" else 1
        scores = []
        with threads_of_torch(1) if self._small else nullcontext():
            for start in range(0, len(requests), self.batch_size):
                part = requests[start : start + self.batch_size]
                audio = self._hear(part)
                found = [self._metrics(frames, request) for frames, request in zip(audio, part, strict=True)]
                scores += [{name: value.item() for name, value in one.items()} for one in found]
        return scores

    def _hear(self, requests: Sequence[ScoreRequest]) -> list[torch.Tensor]:
        """Return the frames of the audio of each request; references are encoded beside, and remembered."""
        audio = [request.audio for request in requests]
        references = [one.prompt.reference for one in requests if one.prompt.reference is not None]
        try:
            return self._encode([*audio, *references], partial(self._read, requests))[: len(audio)]
        except InputError:
            self._encode(audio)  # find out which it was
            for reference in references:
                self._reference(reference)
            raise

    def measure(self, request: ScoreRequest) -> dict[str, torch.Tensor]:
        """Return the metrics of a clip with their gradients; see `reward.differentiable.DifferentiableScorer`."""
        clip = (
            request.audio if isinstance(request.audio, Clip) else read_clip(request.audio, self.max_seconds)
        )
        with threads_of_torch(1) if self._small else nullcontext():
            return self._metrics(self.towers.encode_audio(clip), request)

    def _metrics(self, frames: torch.Tensor, request: ScoreRequest) -> dict[str, torch.Tensor]:
        """Return the metrics for the frames of one piece of audio, numbers without dimensions."""
        return self._measured(self._outputs(self.head, frames, request))

    def _outputs(self, head: RewardHead, frames: torch.Tensor, request: ScoreRequest) -> torch.Tensor:
        """Return what a head gives `[1, O]` for the frames of one piece of audio."""
        if len(frames) < head.shortest_audio:
            heard = f"{len(frames)} frames of audio ({len(frames) / 25:.2f} s)"
            raise InputError(f"{heard} are too short: this model needs {head.shortest_audio}")
        prompt, mask = self._prompt(head, request.prompt)
        with self._autocast():
            return head(prompt, mask, self._stream(frames)).float()

    def _measured(self, outputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the metrics that the head's outputs `[1, O]` for one piece of audio stand for."""
        found = {"": self.head.scores(outputs)}
        if self.head.ratings is not None:
            found["_spread"] = self.head.ratings.spread(outputs)
            if self._chances:
                levels = self.head.ratings.chances(outputs).unbind(dim=1)
                found |= {CHANCE.format("", level): chances for level, chances in enumerate(levels, start=1)}
        return {
            f"{metric}{ending}": values[0, column]
            for ending, values in found.items()
            for metric, column in COLUMNS.items()
        }

    def _prompt(self, head: RewardHead, prompt: Prompt) -> tuple[torch.Tensor, ...]:
        reference = None if prompt.reference is None else sha256_file(prompt.reference)
        key = (id(head), prompt.text, prompt.lyrics, reference)

        def make() -> tuple[torch.Tensor, ...]:
            text, lyrics = self._text(prompt.text), self._text(prompt.lyrics)
            absent = torch.zeros(0, self.config.dim)
            heard = absent if prompt.reference is None else self._reference(prompt.reference)
            with self._autocast():
                return head.prompt(self._stream(text), self._stream(lyrics), self._stream(heard))

        return self._prompts.get(key, make)

    def _reference(self, path: Path) -> torch.Tensor:
        try:
            return self._encode([path])[0]
        except InputError as error:
            raise InputError(f"reference {path}: {error}") from error

    def _read(self, requests: Sequence[ScoreRequest]) -> None:
        """Work on the prompts of requests as far as that needs no reference, to remember it."""
        for prompt in (one.prompt for one in requests):
            if prompt.reference is None:
                for head in self.heads:
                    self._prompt(head, prompt)
            else:
                self._text(prompt.text)
                self._text(prompt.lyrics)

    def _text(self, text: str) -> torch.Tensor:
        return self.frames.get(("text", text), lambda: (self.towers.encode_text(text),))[0]

    def _encode(
        self, sources: Sequence[Path | Clip], meanwhile: Callable[[], None] = lambda: None
    ) -> list[torch.Tensor]:
        """Return the frames of each source; each distinct content is encoded once; see `on_cores`."""
        keys = [_identity(source) for source in sources]
        known = {key: self.frames.get(key, tuple)[0] for key in dict.fromkeys(keys) if key in self.frames}
        new = {key: source for key, source in zip(keys, sources, strict=True) if key not in known}
        longest = self.towers.max_seconds
        clips = [read_clip(item, longest) if isinstance(item, Path) else item for item in new.values()]
        for key, frames in zip(new, self._encode_clips(clips, meanwhile), strict=True):
            known[key] = frames
            self.frames.put(key, (frames,))
        return [known[key] for key in keys]

    def _encode_clips(self, clips: Sequence[Clip], meanwhile: Callable[[], None]) -> list[torch.Tensor]:
        """Return the frames of each clip; on a CPU every core takes a part of them."""
        costs = [clip.seconds + 1 for clip in clips]  # even a short clip costs something
        order = sorted(range(len(clips)), key=lambda index: costs[index])
        parts = _split_evenly(order, [costs[index] for index in order], self._cores)
        while len(self._towers) < len(parts):
            self._towers.append(self.towers.sharing_weights())

        def encode(core: int) -> list[torch.Tensor]:
            return self._towers[core].encode_audios([clips[index] for index in parts[core]])

        encoded = chain.from_iterable(on_cores(encode, range(len(parts)), self._cores, meanwhile))
        frames = dict(zip(chain.from_iterable(parts), encoded, strict=True))
        return [frames[index] for index in range(len(clips))]

    def _stream(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frames[None].to(self.device), torch.tensor([len(frames)], device=self.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        return autocasting(self.device, self.towers.dtype_name)


def _split_evenly(items: Sequence[int], weights: Sequence[float], most: int) -> list[list[int]]:
    """Return items in at most so many parts of about the same weight; neighbours stay together, no part is empty."""
    parts: dict[int, list[int]] = {}
    before, whole = 0.0, sum(weights)
    for item, weight in zip(items, weights, strict=True):
        parts.setdefault(int(most * (before + weight / 2) / whole), []).append(item)
        before += weight
    return list(parts.values())


def _identity(source: Path | Clip) -> tuple[str, str]:
    if isinstance(source, Path):
        return "file", sha256_file(source)
    digest = hashlib.sha256(f"{source.sample_rate} {source.channels} ".encode())
    digest.update(source.waveform.detach().cpu().contiguous().numpy().data)
    return "clip", digest.hexdigest()
