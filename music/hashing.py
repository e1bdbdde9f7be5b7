"""Stable identities: canonical JSON, SHA-256 of texts, files and folders, seeds, path names."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.paths import exists, is_file, is_folder, reading

_BLOCK = 1 << 20
# Dataset loaders take a path like audio/test-1/ for the test split of the data; audio/xtest-1/ is left alone.
_SPLIT_NAMES = re.compile(
    r"(?<![a-z])(train(?:ing)?|valid(?:ation)?|dev|val|test(?:ing)?|eval(?:uation)?)(?![a-z])"
)


def canonical_json(obj: Any) -> str:
    """Return the one JSON text of `obj`: sorted keys, no spaces, ASCII only, NaN and infinity refused.

    Raises
    ------
    ValueError
        If a number is not finite.
    TypeError
        If something is not JSON.
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_text(text: str) -> str:
    """Return the SHA-256 of the UTF-8 bytes of `text`, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of the bytes of a file, 64 hex digits.

    Raises
    ------
    InputError
        If the file cannot be read, or is a pipe or a device, which may have no end.
    """
    if exists(path) and not (is_file(path) or is_folder(path)):
        raise InputError(f"cannot read {path}: it is no regular file")
    digest = hashlib.sha256()
    with reading(path), open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_folder(path: str | Path, patterns: Sequence[str] = ("**/*",)) -> str:
    """Return one SHA-256 over the names and bytes of the files of a folder that match any of `patterns`.

    A pattern without ``**`` matches in the folder itself only.

    Hidden files and folders (``.cache``, ``.git`` ...) do not take part, nor does where the folder lies.

    Raises
    ------
    InputError
        If the folder is missing or nothing in it matches.
    """
    folder = Path(path)
    if not is_folder(folder):
        raise InputError(f"{folder} is not a folder")
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    names = {file.relative_to(folder).as_posix(): file for file in files}
    visible = {
        name: file
        for name, file in names.items()
        if not any(part.startswith(".") for part in name.split("/"))
    }
    if not visible:
        raise InputError(f"{folder} holds no file matching {', '.join(patterns)}")
    return sha256_text(canonical_json({name: sha256_file(file) for name, file in visible.items()}))


def candidate_seed(run_seed: int, prompt_id: str, candidate: int) -> int:
    """Return the 63-bit seed of one candidate: first 8 bytes of sha256(run seed, prompt id, index).

    It depends on nothing else, so a candidate is the same whatever its neighbours, order, rank or resume.
    """
    return _seed_of([run_seed, prompt_id, candidate])


def _seed_of(identity: list[Any] | dict[str, Any]) -> int:
    digest = hashlib.sha256(canonical_json(identity).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def copy_seed(seed: int, step: int, copy: int) -> int:
    """Return the 63-bit seed of a copy of a half-made candidate: first 8 bytes of sha256(seed, step, copy).

    Parameters
    ----------
    seed
        Seed of what is copied.
    step
        Steps of the generator that were done by then.
    copy
        Index of the copy, from 1; index 0 is the original, which keeps its seed.
    """
    return _seed_of([seed, step, copy])


def purpose_seed(seed: int, purpose: str, *place: int) -> int:
    """Return the 63-bit seed of what is drawn for a purpose: first 8 bytes of sha256 of an object of JSON.

    It is that of no other purpose or place, nor that of a candidate, which is of a list.

    Parameters
    ----------
    seed
        Seed of the run, or of what belongs to it.
    purpose
        What is drawn for.
    place
        Where: step, place in a batch ...
    """
    return _seed_of({"seed": seed, "purpose": purpose, "place": place})


def path_name(text: str, digits: int = 16) -> str:
    """Return a path name for `text`: safe on every file system, readable, different for different texts.

    A slug of lower-case ASCII letters and digits helps the eye, the first `digits` hex digits of the SHA-256
    decide.
    """
    slug = no_split(re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-"))
    return f"{slug or 'x'}-{sha256_text(text)[:digits]}"


def no_split(name: str) -> str:
    """Return a part of a path that no dataset loader takes for the name of a split."""
    return _SPLIT_NAMES.sub(r"x\1", name)
