"""The candidate pool: audio and the facts of its making, in one folder that all later stages share.

A pool is a Hugging Face AudioFolder, which ``load_dataset("audiofolder", data_dir=POOL)`` loads where torchcodec is
installed; docs/concepts.md says how to load it without:

    audio/<prompt>/<candidate>.flac          24-bit FLAC
    tokens/<prompt>/<candidate>.safetensors  codes or latents, key "tokens"
    references/<sha256>.<suffix>             copies of the reference clips
    specs/<sha256>.json                      everything but prompt and seed that decides the audio
    metadata.jsonl                           a `Candidate` a row; metadata-0000R.jsonl while rank R writes
    scores/<scorer>.jsonl                    see `music.scores`

<prompt> is `music.hashing.path_name` of the prompt id. Audio is written first, then its row, each atomically,
so a kill at any moment loses at most the clips in flight (made, and waiting to be written); a file without a
row does not count and is made again.

What happens when the folder was changed by hand: a row whose files are missing or empty is an error on
opening that names file and row (bring the file back, or delete the row to have it made again); a file with
other bytes than its row says is found by `Pool.verify`, `Pool.clip` and `Pool.tokens`, with the same advice.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from music.candidate import Candidate, distinct, row_of
from music.clips import Clip, read_clip
from music.durable import leftovers, remove_leftovers
from music.errors import InputError
from music.file_hashes import FileState, file_state, is_settled
from music.files import read_object
from music.hashing import candidate_seed, canonical_json, sha256_file, sha256_text
from music.paths import exists
from music.pool_writer import FOLDERS, PoolWriter, prompt_columns
from music.processes import Processes
from music.prompts import Prompt
from music.shards import ShardedRows
from music.texts import parse_json

__all__ = ["Candidate", "Pool"]

_ADVICE = "bring the file back, or delete that row to have it made again"
_OTHER_OUTPUT = "choose another --output folder (nothing was changed)"


class Pool:
    """A pool on disk.

    Parameters
    ----------
    folder
        Where it lies.
    create
        Whether a folder that does not exist yet is an empty pool, rather than an error.

    Raises
    ------
    InputError
        If there is no pool, a row is not whole, two rows contradict each other, or a file of a row is
        missing.
    """

    def __init__(self, folder: str | Path, create: bool = False) -> None:
        self.folder = Path(folder)
        self._table = ShardedRows(self.folder, "metadata")
        self._rows: dict[tuple[str, int], tuple[Candidate, str]] = {}
        self._verified: dict[str, FileState] = {}  # file name -> its state when its bytes were last compared
        if not create and not exists(self._table.merged) and not self._table.shards():
            inner = self.folder / "pool"
            hint = f"; {inner} is one" if exists(inner / self._table.merged.name) else ""
            raise InputError(f"{self.folder} is not a pool: it has no metadata.jsonl{hint}")
        self.reload()

    def reload(self) -> None:
        """Read the rows again, as another process may have added some."""
        rows = distinct(self._table.rows())
        for candidate, where in rows.values():
            for name in filter(None, (candidate.file_name, candidate.tokens, candidate.reference)):
                file = os.path.join(
                    self.folder, name
                )  # in a large pool, building a `Path` for each takes longest
                if not os.path.isfile(file) or os.path.getsize(file) == 0:
                    state = "is empty" if os.path.isfile(file) else "is missing"
                    raise InputError(f"{where}: its file {file} {state}; {_ADVICE}")
        self._rows = {key: rows[key] for key in sorted(rows)}

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates, in canonical order (prompt id, candidate index)."""
        return [candidate for candidate, _ in self._rows.values()]

    def __len__(self) -> int:
        """Return how many candidates there are."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Candidate]:
        """Iterate over the candidates in canonical order."""
        return iter(self.candidates)

    def candidates_of(self, prompts: Iterable[Prompt], n: int) -> list[list[Candidate]]:
        """Return candidates 0 to n-1 of each prompt; `InputError` if one is missing."""
        try:
            return [[self._rows[prompt.id, index][0] for index in range(n)] for prompt in prompts]
        except KeyError as error:
            identity, index = error.args[0]
            raise InputError(f"{self.folder} has no candidate {index} of prompt {identity!r}") from error

    def path(self, candidate: Candidate) -> Path:
        """Return the path of the audio of a candidate."""
        return self.folder / candidate.file_name

    def prompt(self, candidate: Candidate) -> Prompt:
        """Return the prompt that a candidate was made for; its reference is the copy in the pool."""
        reference = self.folder / candidate.reference if candidate.reference else None
        try:
            facts = parse_json(candidate.facts)
        except ValueError:
            facts = None
        if not isinstance(facts, dict):
            where = self._rows[candidate.key][1]
            raise InputError(
                f"{where}: column 'facts' must be the JSON of an object, got {candidate.facts!r}"
            )
        return Prompt(candidate.prompt_id, candidate.text, candidate.lyrics, reference, facts)

    def clip(self, candidate: Candidate) -> Clip:
        """Read the audio of a candidate; `InputError` if the file is not the one that the row describes."""
        self.verify([candidate])
        clip = read_clip(self.path(candidate))
        if clip.sample_rate != candidate.sample_rate:
            where = self._rows[candidate.key][1]
            raise InputError(
                f"{where}: {self.path(candidate)} is at {clip.sample_rate} Hz, not {candidate.sample_rate}"
            )
        return clip

    def tokens(self, candidate: Candidate) -> torch.Tensor:
        """Read the codes or latents of a candidate, as the generator made them.

        Raises
        ------
        InputError
            If there are none, or the file is not the one that the row describes; what an earlier version has written
            has no hash, and must be whole.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        where, path = self._rows[candidate.key][1], self.folder / candidate.tokens
        if not candidate.tokens:
            raise InputError(f"{where}: generator {candidate.generator} keeps no tokens")
        try:
            data = path.read_bytes()
            if candidate.tokens_sha256 not in ("", hashlib.sha256(data).hexdigest()):
                raise InputError(f"{where}: {path} was changed (its sha256 differs); {_ADVICE}")
            return load(data)["tokens"]
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{where}: {path} holds no tokens ({error}); {_ADVICE}") from error

    def spec(self, candidate: Candidate) -> dict[str, Any]:
        """Return everything but prompt and seed that decided the audio of a candidate."""
        return self._read_spec(candidate.spec)

    def verify(self, candidates: Iterable[Candidate] | None = None) -> None:
        """Compare the bytes of audio files with their rows.

        Opening a pool only looks whether files are there; this reads them all (about 1 GB/s), but for those that were
        compared before and have not changed since (`music.file_hashes`).

        Raises
        ------
        InputError
            At the first file whose SHA-256 differs, naming file and row.
        """
        for candidate in self.candidates if candidates is None else candidates:
            path, began = self.path(candidate), time.time_ns()
            state = file_state(path)
            if self._verified.get(candidate.file_name) == state:
                continue
            if sha256_file(path) != candidate.sha256:
                where = self._rows[candidate.key][1]
                raise InputError(f"{where}: {path} was changed (its sha256 differs); {_ADVICE}")
            if is_settled(state, began):
                self._verified[candidate.file_name] = state

    def check_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Look whether the pool is for these prompts, before any model is loaded.

        Raises
        ------
        InputError
            If a known prompt id had another text, lyrics, reference or facts.
        """
        known = {candidate.prompt_id: (candidate, where) for candidate, where in self._rows.values()}
        for prompt in prompts:
            if prompt.id in known:
                candidate, where = known[prompt.id]
                for name, value in prompt_columns(prompt).items():
                    if getattr(candidate, name) != value:
                        raise InputError(f"{where}: prompt {prompt.id!r} had another {name}; {_OTHER_OUTPUT}")

    def missing(
        self, prompts: Sequence[Prompt], n: int, seed: int, spec: Mapping[str, Any], processes: Processes
    ) -> list[tuple[Prompt, int, int]]:
        """Return what has still to be made, as (prompt, candidate index, seed).

        Every process must call it, with the same arguments: all look at the pool and wait for each other, so that
        all find the same missing before the first of them adds any.

        Parameters
        ----------
        prompts, n
            Candidates 0 to n-1 of each are wanted.
        seed
            The seed of the run.
        spec
            Everything but prompt and seed that decides the audio, `seconds` included; JSON.
        processes
            Who will share the work.

        Raises
        ------
        InputError
            If the pool was made with another spec, another seed, or another text, lyrics, reference or facts
            for a known prompt id. The pool is left as it is.
        """
        self.reload()
        self._refuse_other_spec(spec)
        self.check_prompts(prompts)
        jobs = []
        for prompt in prompts:
            for index in range(n):
                wanted = candidate_seed(seed, prompt.id, index)
                found = self._rows.get((prompt.id, index))
                if found is None:
                    jobs.append((prompt, index, wanted))
                elif found[0].seed != wanted:
                    raise InputError(f"{found[1]}: made with another --seed than {seed}; {_OTHER_OUTPUT}")
        if processes.world_size > 1:
            missing = [(prompt.id, index, seed) for prompt, index, seed in jobs]
            processes.agree({"spec": dict(spec), "number of candidates": n, "missing candidates": missing})
        return jobs

    def writer(self, generator: str, spec: Mapping[str, Any], rank: int = 0) -> PoolWriter:
        """Return what adds candidates to this pool; see `music.pool_writer.PoolWriter`."""
        return PoolWriter(self.folder, self._table, generator, spec, rank)

    def merge(self) -> None:
        """Unite all rows in ``metadata.jsonl``, clear leftovers; for one process, with all writers closed.

        Raises
        ------
        InputError
            If a writer is still at work, or the disk is full; nothing is lost.
        """
        folders = [self.folder / name for name in FOLDERS]
        for rank in sorted({rank for folder in folders for rank, _ in leftovers(folder)}):
            with self._table.appender(rank):  # the lock of that rank: its writer is dead
                for folder in folders:
                    remove_leftovers(folder, rank)
        self._table.merge(lambda rows: [row_of(found) for _, (found, _) in sorted(distinct(rows).items())])
        self.reload()

    def _read_spec(self, name: str) -> dict[str, Any]:
        path = self.folder / "specs" / f"{name}.json"
        return read_object(path)

    def _refuse_other_spec(self, spec: Mapping[str, Any]) -> None:
        name = sha256_text(canonical_json(spec))
        for candidate, where in self._rows.values():
            if candidate.spec != name:
                before = self._read_spec(candidate.spec)
                changed = [key for key in sorted({*before, *spec}) if before.get(key) != spec.get(key)]
                detail = "; ".join(f"{key} was {before.get(key)!r}, is {spec.get(key)!r}" for key in changed)
                raise InputError(f"{where}: made with another spec ({detail}); {_OTHER_OUTPUT}")
