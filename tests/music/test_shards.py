"""Merging one table leaves the rest of its folder alone."""

import pytest

from music.errors import InputError
from music.jsonl import JsonlAppender
from music.shards import ShardedRows


def rows_of(located):
    return [place.row for place in located]


def make_table(folder, rank=0):
    table = ShardedRows(folder, "out")
    with table.appender(rank) as file:
        file.append({"a": 1})
    return table


def test_files_of_others_stay(tmp_path):
    strangers = [tmp_path / "deep" / ".tmp-0-out.jsonl", tmp_path / ".tmp-0-other.jsonl", tmp_path / ".tmp-x"]
    (tmp_path / "deep").mkdir()
    for file in strangers:
        file.write_text("mine")
    (tmp_path / ".tmp-1-folder").mkdir()
    make_table(tmp_path).merge(rows_of)
    assert all(file.read_text() == "mine" for file in strangers)
    assert (tmp_path / ".tmp-1-folder").is_dir()
    assert rows_of(ShardedRows(tmp_path, "out").rows()) == [{"a": 1}]


def test_what_a_killed_merge_has_left_goes(tmp_path):
    make_table(tmp_path).merge(rows_of)
    (tmp_path / ".tmp-0-out.jsonl").write_text('{"a"')
    ShardedRows(tmp_path, "out").merge(rows_of)
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_two_merges_at_once_are_refused(tmp_path):
    table = make_table(tmp_path, rank=1)
    with JsonlAppender(tmp_path / "out-00000.jsonl"):  # what the other merge holds
        (tmp_path / ".tmp-0-out.jsonl").write_text("in flight")
        with pytest.raises(InputError, match="another process is writing"):
            table.merge(rows_of)
        assert (tmp_path / ".tmp-0-out.jsonl").read_text() == "in flight"
