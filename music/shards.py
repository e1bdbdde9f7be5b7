"""One table of rows kept by several writers: each appends to its own JSON Lines file, readers take the union.

``<stem>.jsonl`` holds the merged rows, ``<stem>-0000R.jsonl`` those that the process of rank R has added since; where
users choose the name, these are ``<stem>.jsonl.part-0000R``, which is no name that they may choose.
"""

import contextlib
import glob
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from music.durable import sync_folder, temporary_path, write_text, writing
from music.jsonl import JsonlAppender, dump_line, read_jsonl
from music.paths import exists, reading

_RANK = "[0-9][0-9][0-9][0-9][0-9]"


class Located(NamedTuple):
    """A row and where it stands."""

    path: Path
    line: int
    row: dict[str, Any]

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.path} line {self.line}"


class ShardedRows:
    """The files of one table.

    Parameters
    ----------
    folder
        Where they lie: a folder in which all names are ours, unless the shards have names of another kind.
    stem
        Their common name; it must not itself end like the name of a shard.
    shard
        Name of a shard, with places for stem and rank.
    """

    def __init__(self, folder: Path, stem: str, shard: str = "{stem}-{rank}.jsonl") -> None:
        self.folder = folder
        self.merged = folder / f"{stem}.jsonl"
        self._stem, self._shard_name = stem, shard

    @classmethod
    def beside(cls, merged: Path) -> "ShardedRows":
        """Return the table of a file that a user has named, beside which anything may lie."""
        return cls(merged.parent, merged.stem, "{stem}.jsonl.part-{rank}")

    def shards(self) -> list[Path]:
        """Return the files of single writers that exist now."""
        pattern = self._shard_name.format(stem=glob.escape(self._stem), rank=_RANK)
        with reading(self.folder):
            return sorted(self.folder.glob(pattern))

    def owns(self, path: Path) -> bool:
        """Return whether an existing file is one of this table, or would be taken for one."""
        ours = (self.merged, *self.shards(), self._leftover())
        return any(exists(one) and one.samefile(path) for one in ours)

    def rows(self) -> list[Located]:
        """Return all rows; a torn last line of a killed writer does not count.

        The shards are read before the merged file: rows that a concurrent merge moves are seen at least once.
        """
        located = []
        for path in [*self.shards(), self.merged]:
            if exists(path):
                located += [Located(path, line, row) for line, row in read_jsonl(path)]
        return located

    def appender(self, rank: int) -> JsonlAppender:
        """Open the file of one writer."""
        return JsonlAppender(self._shard(rank))

    def merge(self, ordered: Callable[[list[Located]], list[Mapping[str, Any]]]) -> None:
        """Write the union into the merged file, remove the shards; for one process, with all writers closed.

        Nothing else in the folder is touched, except what a killed merge of this table has left there.

        Parameters
        ----------
        ordered
            Takes all rows and returns those to keep, without duplicates, in their final order.

        Raises
        ------
        InputError
            If another process is still writing a shard or merging, or the disk is full; nothing is lost.
        """
        if self._is_merged(ordered):
            return
        with contextlib.ExitStack() as locks:
            # with rank 0 always among them, two merges at once are impossible
            shards = sorted({*self.shards(), self._shard(0)})
            for path in shards:
                locks.enter_context(JsonlAppender(path))
            text = _text(ordered(self.rows()))
            if not exists(self.merged) or self.merged.read_text(encoding="utf-8") != text:
                write_text(self.merged, text)
            with writing(self.folder):
                if self._leftover().is_file():
                    self._leftover().unlink()
                for path in shards:
                    path.unlink(missing_ok=True)
                sync_folder(self.folder)

    def _is_merged(self, ordered: Callable[[list[Located]], list[Mapping[str, Any]]]) -> bool:
        if self.shards() or self._leftover().is_file():
            return False
        rows = self.rows()
        return not rows or self.merged.read_text(encoding="utf-8") == _text(ordered(rows))

    def _shard(self, rank: int) -> Path:
        return self.folder / self._shard_name.format(stem=self._stem, rank=f"{rank:05d}")

    def _leftover(self) -> Path:
        return temporary_path(self.merged)


def _text(rows: list[Mapping[str, Any]]) -> str:
    return "".join(dump_line(row) for row in rows)
