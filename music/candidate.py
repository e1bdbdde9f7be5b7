"""One candidate: a row of the metadata of a pool, and how rows are checked."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from music.errors import InputError
from music.shards import Located


@dataclass(frozen=True)
class Origin:
    """Where a recorded clip comes from.

    Attributes
    ----------
    name
        Name of its file there.
    system
        What made it; empty if nobody said.
    """

    name: str = ""
    system: str = ""


@dataclass(frozen=True)
class Candidate:
    """One row of ``metadata.jsonl``: the generation facts of one clip.

    Attributes
    ----------
    file_name
        Path of the audio, relative to the pool.
    prompt_id, candidate
        The key: which prompt, and which of its candidates, from 0.
    seed
        `music.hashing.candidate_seed` of run seed, prompt id and candidate.
    text, lyrics
        Text and lyrics of the prompt.
    reference
        Path of the copy of the reference clip, relative to the pool; empty if there is none.
    facts
        Facts of the prompt, as JSON text (so that rows with different facts form one table).
    generator
        Name of the generator.
    spec
        SHA-256 of everything else that decides the audio; the JSON lies in ``specs/<spec>.json``.
    seconds
        Length of the clip in s.
    sample_rate
        Sample rate in Hz.
    gain
        Factor applied on writing: 1.0, or less for a peak above 1.
    sha256
        SHA-256 of the audio file.
    tokens
        Path of the safetensors file with the codes or latents, relative to the pool; empty if there is none.
    tokens_sha256
        SHA-256 of that file; empty if there is none, or an earlier version has made the pool.
    original, system
        Name that the clip had where it was recorded, and what made it; empty, and no columns, of clips generated here.
    """

    file_name: str
    prompt_id: str
    candidate: int
    seed: int
    text: str
    lyrics: str
    reference: str
    facts: str
    generator: str
    spec: str
    seconds: float
    sample_rate: int
    gain: float
    sha256: str
    tokens: str
    tokens_sha256: str = ""
    original: str = ""
    system: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """(prompt id, candidate index), which also sorts candidates into canonical order."""
        return self.prompt_id, self.candidate


def row_of(candidate: Candidate) -> dict[str, Any]:
    """Return the row of a candidate; what is unknown of it, or of no clip of its generator, has no column."""
    row = asdict(candidate)
    absent = set() if candidate.original else set(_ORIGIN)
    if not candidate.tokens_sha256:
        absent.add("tokens_sha256")
    return {name: value for name, value in row.items() if name not in absent}


def distinct(located: Iterable[Located]) -> dict[tuple[str, int], tuple[Candidate, str]]:
    """Return candidate and place of each key; the same row twice (a merge was killed) counts once."""
    rows: dict[tuple[str, int], tuple[Candidate, str]] = {}
    for place in located:
        candidate = _candidate(place)
        known = rows.setdefault(candidate.key, (candidate, place.where))
        if known[0] != candidate:
            identity, index = candidate.key
            raise InputError(
                f"{place.where}: contradicts {known[1]} on candidate {index} of prompt {identity!r}"
            )
    return rows


_KINDS = {field.name: field.type for field in fields(Candidate)}
_ORIGIN = {"original", "system"}
_MAY_BE_MISSING = _ORIGIN | {"tokens_sha256"}  # of clips generated here, and of pools of earlier versions


def _candidate(place: Located) -> Candidate:
    if wrong := sorted((_KINDS.keys() ^ place.row.keys()) - (_MAY_BE_MISSING - place.row.keys())):
        state = "is missing" if wrong[0] in _KINDS else "is unknown"
        raise InputError(f"{place.where}: column {wrong[0]!r} {state}; this is no row of a pool")
    for name, value in place.row.items():
        if type(value) is not _KINDS[name]:
            kind = getattr(_KINDS[name], "__name__", _KINDS[name])
            raise InputError(f"{place.where}: column {name!r} must be a {kind}, got {value!r}")
    return Candidate(**place.row)
