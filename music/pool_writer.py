"""Adding candidates to a pool, so that a kill at any moment costs at most the clips that are being added.

`PoolWriter` writes one candidate and waits for encoder and disk; `BackgroundWriter` hands candidates to it in a thread,
so that whoever makes them does not wait.
"""

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from music.candidate import Candidate, Origin, row_of
from music.clips import Clip, encode_flac
from music.durable import remove_leftovers, write_bytes, write_text
from music.errors import InputError
from music.hashing import canonical_json, path_name, sha256_file, sha256_text
from music.jsonl import JsonlAppender
from music.prompts import Prompt
from music.shards import ShardedRows

FOLDERS = ("audio", "tokens", "specs", "references")  # of a pool, where its writers put files
_WAITING = 16  # clips: one batch of the usual size, 170 MB if they are 30 s of stereo


def prompt_columns(prompt: Prompt) -> dict[str, str]:
    """Return the columns of a pool row that come from the prompt: text, lyrics, reference, facts.

    The reference is named by its content, so that another clip under the old name is another reference.
    """
    reference = ""
    if prompt.reference is not None:
        reference = f"references/{sha256_file(prompt.reference)}{prompt.reference.suffix.lower()}"
    facts = canonical_json(dict(prompt.facts))
    return {"text": prompt.text, "lyrics": prompt.lyrics, "reference": reference, "facts": facts}


class PoolWriter:
    """Adds candidates on behalf of one process; a context manager, made by `music.pool.Pool.writer`.

    Nothing is touched before the first `add`; that one locks the metadata file of this rank and removes the
    leftovers of a killed writer of the same rank.

    Parameters
    ----------
    folder
        The pool.
    table
        Its metadata files.
    generator
        Name of the generator.
    spec
        Everything but prompt and seed that decides the audio; JSON.
    rank
        Rank of this process.
    """

    def __init__(
        self, folder: Path, table: ShardedRows, generator: str, spec: Mapping[str, Any], rank: int
    ) -> None:
        self._folder = folder
        self._table = table
        self._generator = generator
        self._spec_text = json.dumps(spec, sort_keys=True, indent=1) + "\n"
        self._spec = sha256_text(canonical_json(spec))
        self._rank = rank
        self._appender: JsonlAppender | None = None
        self._sample_rate: int | None = None
        self._columns: dict[str, dict[str, str]] = {}  # prompt id -> its columns, hashed and copied once

    def __enter__(self) -> "PoolWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the metadata file of this process."""
        if self._appender is not None:
            self._appender.close()

    def add(
        self,
        prompt: Prompt,
        candidate: int,
        seed: int,
        clip: Clip,
        tokens: torch.Tensor | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Write one candidate: tokens, then audio, then its row; durable on return.

        Raises
        ------
        InputError
            If the audio is empty, not finite or at another rate than the clips before it; if the disk is
            full.
        """
        name = f"{path_name(prompt.id)}/{candidate:05d}"
        audio_name = f"audio/{name}.flac"
        if self._sample_rate not in (None, clip.sample_rate):
            raise InputError(
                f"{audio_name}: made at {clip.sample_rate} Hz, the clips before at {self._sample_rate} Hz"
            )
        data, gain = encode_flac(clip, f"candidate {candidate} of prompt {prompt.id!r}")
        appender = self._open()
        columns = self._prompt_columns(prompt)
        tokens_name, tokens_sha256 = self._write_tokens(name, tokens)
        write_bytes(self._folder / audio_name, data, self._rank)
        origin = origin or Origin()
        written = Candidate(
            file_name=audio_name,
            prompt_id=prompt.id,
            candidate=candidate,
            seed=seed,
            **columns,
            generator=self._generator,
            spec=self._spec,
            seconds=clip.seconds,
            sample_rate=clip.sample_rate,
            gain=gain,
            sha256=hashlib.sha256(data).hexdigest(),
            tokens=tokens_name,
            tokens_sha256=tokens_sha256,
            original=origin.name,
            system=origin.system,
        )
        appender.append(row_of(written))
        self._sample_rate = clip.sample_rate

    def _open(self) -> JsonlAppender:
        if self._appender is None:
            self._appender = self._table.appender(self._rank)  # from here on no other writer has this rank
            for name in FOLDERS:
                remove_leftovers(self._folder / name, self._rank)
            write_text(self._folder / "specs" / f"{self._spec}.json", self._spec_text, self._rank)
        return self._appender

    def _prompt_columns(self, prompt: Prompt) -> dict[str, str]:
        if prompt.id not in self._columns:
            columns = prompt_columns(prompt)
            if prompt.reference is not None and not (self._folder / columns["reference"]).exists():
                write_bytes(self._folder / columns["reference"], prompt.reference.read_bytes(), self._rank)
            self._columns[prompt.id] = columns
        return self._columns[prompt.id]

    def _write_tokens(self, name: str, tokens: torch.Tensor | None) -> tuple[str, str]:
        """Return name and SHA-256 of the file; empty if there are no tokens."""
        if tokens is None:
            return "", ""
        from safetensors.torch import save

        tokens_name = f"tokens/{name}.safetensors"
        data = save({"tokens": tokens.detach().cpu().contiguous()})
        write_bytes(self._folder / tokens_name, data, self._rank)
        return tokens_name, hashlib.sha256(data).hexdigest()


class BackgroundWriter:
    """Adds candidates through a `PoolWriter` in one thread of its own; a context manager.

    Candidates are written one after another in the order of `add`, each as `PoolWriter.add` does it: tokens,
    audio, row. A kill loses those that are not written yet, `waiting` and the one in the hands of `add` at most.
    Leaving the block, also through an error or Ctrl-C, waits until all that were added are written.

    Parameters
    ----------
    writer
        Who writes; it is not closed here.
    waiting
        How many candidates may wait to be written, the one in hand included; `add` waits while there are so
        many.
    """

    def __init__(self, writer: PoolWriter, waiting: int = _WAITING) -> None:
        self._writer = writer
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pool-writer")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "BackgroundWriter":
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits; unless an error is on its way already, raise that of the first failure."""
        self._thread.shutdown(wait=True)
        if error is None:
            while self._pending:
                self._pending.popleft().result()

    def add(
        self,
        prompt: Prompt,
        candidate: int,
        seed: int,
        clip: Clip,
        tokens: torch.Tensor | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Let one candidate be written; neither clip nor tokens may change from here on.

        Raises
        ------
        InputError
            If a candidate added earlier could not be written; see `PoolWriter.add`.
        """
        while self._pending and (len(self._pending) >= self._waiting or self._pending[0].done()):
            self._pending.popleft().result()
        written = self._thread.submit(self._writer.add, prompt, candidate, seed, clip, tokens, origin)
        self._pending.append(written)
