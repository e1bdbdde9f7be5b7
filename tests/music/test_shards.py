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


@pytest.mark.parametrize("name", ["out", "a[b]*?", "{stem}"])
def test_a_file_that_a_user_has_named_is_never_a_part(tmp_path, name):
    """Beside it lies another table of the user's, called as our own parts are in folders of ours."""
    table, other = (ShardedRows.beside(tmp_path / f"{name}{end}.jsonl") for end in ("", "-00000"))
    for one in (other, table):
        with one.appender(0) as file:
            file.append({"a": one.merged.name})
        one.merge(rows_of)
    assert rows_of(table.rows()) == [{"a": f"{name}.jsonl"}]
    assert rows_of(other.rows()) == [{"a": f"{name}-00000.jsonl"}]
    assert table.owns(table.merged)
    assert not table.owns(other.merged)
    (tmp_path / f"{name}.jsonl.part-00003").touch()
    assert table.owns(tmp_path / f"{name}.jsonl.part-00003")


def test_two_merges_at_once_are_refused(tmp_path):
    table = make_table(tmp_path, rank=1)
    with JsonlAppender(tmp_path / "out-00000.jsonl"):  # what the other merge holds
        (tmp_path / ".tmp-0-out.jsonl").write_text("in flight")
        with pytest.raises(InputError, match="another process is writing"):
            table.merge(rows_of)
        assert (tmp_path / ".tmp-0-out.jsonl").read_text() == "in flight"
