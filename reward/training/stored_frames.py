"""What CMI-RMs hear, kept on disk: rewards over the same frozen towers hear each clip once, whatever their heads.

A scorer takes outputs of its towers from the store that training reads (`reward.training.embeddings`), and adds what
is new. As no item depends on its neighbours, scores stay what they are. Towers of other weights, or that hear in other
numbers or more seconds, have a store of their own (`Towers.hash`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType

import torch

from reward.caches import TensorCache
from reward.cmi_rm.scorer import CACHE_BYTES, CMIRMScorer
from reward.protocol import Scorer
from reward.training.embeddings import EmbeddingStore, Key, text_key


class StoredFrames(TensorCache):
    """Memory of a scorer's frames: those of files and texts lie in a store, others in memory.

    Parameters
    ----------
    store
        Store of the scorer's towers, in float32.
    """

    def __init__(self, store: EmbeddingStore) -> None:
        super().__init__(CACHE_BYTES)
        self.store = store

    def get(self, key: Hashable, make: Callable[[], tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
        """Return the frames of `key`, calling `make` if there are none."""
        if (stored := _stored(key)) is not None and stored in self.store:
            return (self.store.get(stored).clone(),)  # in memory of its own, and not at any place in a file
        return super().get(key, make)

    def put(self, key: Hashable, value: tuple[torch.Tensor, ...]) -> None:
        """Keep frames."""
        stored = _stored(key)
        if stored is None:
            super().put(key, value)
        elif stored not in self.store:
            self.store.add(stored, value[0])

    def __contains__(self, key: Hashable) -> bool:
        stored = _stored(key)
        return super().__contains__(key) if stored is None else stored in self.store


def _stored(key: Hashable) -> Key | None:
    """Return what the store calls a key of `CMIRMScorer.frames`; None for a clip that lies in no file."""
    match key:
        case "text", str(text):
            return text_key(text)
        case "file", str(digest):
            return "audio", digest
    return None


class FrameFolder:
    """Stores of any number of scorers in one folder; a context manager, which writes what is new when it ends.

    Parameters
    ----------
    folder
        Folder of the stores; several processes may use it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames: dict[str, StoredFrames] = {}

    def lend(self, scorer: Scorer) -> None:
        """Let a CMI-RM keep its frames here; another scorer stays as it is."""
        if isinstance(scorer, CMIRMScorer):
            name = scorer.towers.hash
            if name not in self._frames:
                self._frames[name] = StoredFrames(EmbeddingStore(self._folder, name))
            scorer.frames = self._frames[name]

    def flush(self) -> None:
        """Write what is new, and look for what others have written."""
        for frames in self._frames.values():
            frames.store.flush()
            frames.store.reload()

    def __enter__(self) -> FrameFolder:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is new."""
        self.flush()
