"""Frozen tower outputs on disk: each distinct audio and text is encoded once, for all heads.

    FOLDER/<tower hash>/audio-<name>.safetensors
    FOLDER/<tower hash>/text-<name>.safetensors

A file holds many items, each under the SHA-256 of its content. It is written whole or not at all and never changed, and
its own header is its index; a kill loses at most the items of the last half minute. Several processes may write into
one folder.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from music.clips import read_clip
from music.durable import TEMPORARY, leftovers, write_bytes, writing
from music.errors import InputError
from music.file_hashes import file_hashes
from music.hashing import sha256_text
from music.processes import Processes
from music.progress import progress
from reward.cmi_rm.towers import Towers

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FLUSH_BYTES = 64 << 20
_FLUSH_SECONDS = 30.0
_ABANDONED_SECONDS = 3600.0  # no living process takes so long to write a file

Key = tuple[str, str]  # ("audio" or "text", SHA-256 of the file or of the text)


class EmbeddingStore:
    """The outputs `[T, dim]` of one pair of towers.

    Parameters
    ----------
    folder
        Folder that holds one folder for each tower hash.
    towers_hash
        Identity of the towers (`Towers.hash`).
    dtype
        Numeric type of stored values: ``float32``, or in half the space ``float16`` (relative error 5e-4) or
        ``bfloat16`` (4e-3, of any size).
    in_memory
        Whether to read everything at once, instead of mapping the files.

    Raises
    ------
    InputError
        If a file is damaged.
    """

    def __init__(
        self, folder: str | Path, towers_hash: str, dtype: str = "float32", in_memory: bool = False
    ) -> None:
        if dtype not in DTYPES:
            raise InputError(f"embeddings are stored as {', '.join(DTYPES)}, got {dtype!r}")
        self.folder = Path(folder) / f"{towers_hash[:16]}-{dtype}"
        self.dtype, self.in_memory = DTYPES[dtype], in_memory
        self._files: set[Path] = set()
        self._items: dict[Key, Any] = {}  # tensors, or the open files that hold them
        self._new: dict[Key, torch.Tensor] = {}
        self._waiting, self._last_flush = 0, time.monotonic()
        self.reload()

    def reload(self) -> None:
        """Look for files that other processes have written."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._files and not path.name.startswith(TEMPORARY):
                self._open(path)

    def _open(self, path: Path) -> None:
        try:
            file = safe_open(str(path), "pt")
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{path} is damaged ({error}): delete it to have its items encoded again"
            ) from error
        self._files.add(path)
        kind = path.name.split("-")[0]
        for name in file.keys():  # noqa: SIM118 (not a dict)
            self._items[kind, name] = file.get_tensor(name) if self.in_memory else file

    def __contains__(self, key: Key) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Key) -> torch.Tensor:
        """Return the frames `[T, dim]` of an item in the stored type; `KeyError` if there is none."""
        found = self._items[key]
        return found if isinstance(found, torch.Tensor) else found.get_tensor(key[1])

    def length(self, key: Key) -> int:
        """Return the number of frames T of an item, without reading them; `KeyError` if there is none."""
        found = self._items[key]
        return len(found) if isinstance(found, torch.Tensor) else found.get_slice(key[1]).get_shape()[0]

    def add(self, key: Key, frames: torch.Tensor) -> None:
        """Take up the frames `[T, dim]` of an item; it is on disk after the next `flush`."""
        self._items[key] = self._new[key] = frames.to(self.dtype).contiguous()
        self._waiting += self._new[key].nbytes
        if self._waiting > _FLUSH_BYTES or time.monotonic() - self._last_flush > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last time."""
        for kind in ("audio", "text"):
            items = {name: frames for (of, name), frames in self._new.items() if of == kind}
            if items:
                path = self.folder / f"{kind}-{sha256_text(' '.join(sorted(items)))[:24]}.safetensors"
                write_bytes(path, save(items), owner=os.getpid())  # other runs may write the same items
                self._open(path)
        self._new.clear()
        self._waiting = 0
        self._last_flush = time.monotonic()


def text_key(text: str) -> Key:
    """Return the key of a text."""
    return "text", sha256_text(text)


def audio_keys(paths: Iterable[Path], memory: str | Path | None = None) -> dict[Path, Key]:
    """Return the key of each distinct path; a folder of embeddings remembers those of files that have not changed."""
    remembered = None if memory is None else Path(memory)
    return {path: ("audio", digest) for path, digest in file_hashes(paths, remembered).items()}


def fill_store(
    store: EmbeddingStore,
    towers: Towers,
    audio: Mapping[Path, Key],
    texts: Sequence[str],
    processes: Processes | None = None,
) -> int:
    """Encode what the store lacks, each process its share, and return the number of items of this one.

    Parameters
    ----------
    store
        Store to fill; its folder must belong to `towers`.
    towers
        Towers that encode the items one at a time, exactly as the scorer does.
    audio
        Files with their keys, as from `audio_keys`.
    texts
        Texts and lyrics.
    processes
        Processes that share the work, and must all call.

    Raises
    ------
    InputError
        If a file cannot be read or is too short (the file is named), or the disk is full.
    """
    processes = processes or Processes()
    jobs: dict[Key, Path | str] = {text_key(text): text for text in texts}
    jobs |= {key: path for path, key in audio.items()}
    missing = [key for key in jobs if key not in store]
    share = processes.shard([(key, jobs[key]) for key in missing])
    if processes.is_main:
        _remove_abandoned(store.folder)
    processes.agree({"hash of the towers": towers.hash, "audio and texts to encode": missing})
    try:
        for key, source in progress(share, "encode", disable=not processes.is_main or len(share) < 20):
            store.add(key, encode(towers, source))
    finally:
        store.flush()
    processes.barrier()
    store.reload()
    return len(share)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of killed writers, but not those that other runs are writing now."""
    with writing(folder):
        for _, leftover in leftovers(folder):
            with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                    leftover.unlink()


def encode(towers: Towers, source: Path | str) -> torch.Tensor:
    """Return the frames `[T, dim]` of a file or a text; `InputError` names a file that cannot be encoded."""
    if isinstance(source, str):
        return towers.encode_text(source)
    clip = read_clip(source, towers.max_seconds)
    try:
        return towers.encode_audio(clip)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
