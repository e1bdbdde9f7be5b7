"""Paths that cannot be looked at, or cannot be paths, are told in one line."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from music.errors import InputError
from music.files import read_text
from music.hashing import sha256_file
from music.jsonl import read_jsonl
from music.paths import (
    check_apart,
    check_file,
    check_output,
    exists,
    files_in,
    is_file,
    is_folder,
    is_readable,
    short_names,
)

LONG = "a-slow-and-dreamy-piano-piece-" * 12


def test_names_tell_folders_apart():
    assert short_names(["/data/runs/a/pool"]) == ["a"]
    assert short_names(["/data/runs/a/pool", "b", "c/"]) == ["a", "b", "c"]
    assert short_names(["x/runs/a/pool", "y/runs/a/pool", "y/runs/b"]) == ["x/runs/a", "y/runs/a", "y/runs/b"]
    assert short_names(["a", "a/pool", "pool"]) == ["a", "a/pool", "pool"]
    assert short_names(["/", "."]) == ["/", "."]
    assert short_names([]) == []


@pytest.fixture
def locked():
    """Return a file in a folder that may not be looked into, in one that may be."""
    above = Path(tempfile.mkdtemp())  # all that lies where pytest makes folders belongs to its user alone
    above.chmod(0o755)
    file = above / "locked" / "rows.jsonl"
    file.parent.mkdir()
    file.write_text("{}\n")
    file.parent.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)  # who is root may look into everything
    yield file
    if root:
        os.seteuid(0)
    file.parent.chmod(0o700)
    shutil.rmtree(above)


def test_a_folder_that_may_not_be_listed_is_no_empty_one(locked):
    for folder, pattern in ((locked.parent, "*.jsonl"), (locked.parent.parent, "**/*.jsonl")):
        with pytest.raises(InputError, match=r"cannot look into .*locked: Permission denied"):
            files_in(folder, pattern)
    assert files_in(locked.parent.parent, "*.jsonl") == files_in(locked.parent.parent / "none", "**/*") == []


def test_what_lies_at_a_path(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    assert [is_file(tmp_path / name) for name in ("a.txt", "b.txt", "a.txt/b", LONG, "")] == [
        True,
        *[False] * 4,
    ]
    assert [is_folder(path) for path in (tmp_path, tmp_path / "a.txt", LONG)] == [True, False, False]
    assert [exists(path) for path in (tmp_path, str(tmp_path / "a.txt"), LONG)] == [True, True, False]
    check_file(tmp_path / "a.txt")


@pytest.mark.parametrize("look", [is_file, is_folder, exists, check_file, read_text, read_jsonl, sha256_file])
def test_a_folder_that_may_not_be_looked_into_is_named(locked, look):
    with pytest.raises(InputError, match=r"cannot .*locked/rows\.jsonl: Permission denied"):
        look(locked)
    assert not is_readable(locked)


@pytest.mark.parametrize("name", ["a\0.wav", "a\ud83d.wav"])
@pytest.mark.parametrize("look", [is_file, is_folder, exists, check_file, read_text, read_jsonl, sha256_file])
def test_what_cannot_be_a_path_is_named(tmp_path, look, name):
    with pytest.raises(InputError, match=r"a\\(x00|ud83d)\.wav' cannot be a path"):
        look(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b.txt", r"prompts .*b\.txt does not exist"),
        ("a.txt/b", r"prompts .*a\.txt/b cannot be opened: Not a directory"),
        ("", "prompts .* is a folder"),
        ("pipe", "prompts .*pipe is no regular file"),
        ("loop", "prompts .*loop cannot be opened: Too many levels of symbolic links"),
        (LONG, f"prompts .*{LONG} cannot be opened: File name too long"),
    ],
)
def test_why_it_is_no_file(tmp_path, name, message):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        check_file(tmp_path / name, "prompts")


@pytest.mark.parametrize("place", ["new", "new/and/deep.jsonl", ".", "a.txt"])
def test_a_place_to_write_to(tmp_path, place):
    (tmp_path / "a.txt").touch()
    check_output(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    (tmp_path / ("x" * 255)).mkdir()
    check_output(tmp_path / ("x" * 255) / place)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("a.txt/b", r"cannot write .*a\.txt/b: .*a\.txt is a file"),
        (LONG, "cannot write .*: the name a-slow.* is too long"),
        (
            "x" * 250 + ".jsonl",
            "the name x* is too long|the name x*.jsonl is too long",
        ),  # its parts' would be
        ("a\0b", r"a\\x00b' cannot be a path"),
        ("pipe", "cannot write .*pipe: a device or pipe would be replaced"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_the_work(tmp_path, place, message):
    (tmp_path / "a.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        check_output(tmp_path / place)


def test_what_is_read_is_not_written_over(tmp_path):
    for name in ("rows.jsonl", "other.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "link.jsonl").symlink_to("rows.jsonl")
    check_apart(tmp_path / "rows.jsonl", tmp_path / "other.jsonl", tmp_path / "new.jsonl")
    for one, other in (("rows", "rows"), ("rows", "link"), ("link", "rows")):
        with pytest.raises(InputError, match=rf"{one}\.jsonl would be overwritten by .*{other}\.jsonl"):
            check_apart(tmp_path / f"{one}.jsonl", tmp_path / f"{other}.jsonl")


@pytest.mark.parametrize("place", ["locked", "locked/new/file"])
def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch, place):
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do everything
    with pytest.raises(InputError, match=r"cannot write .*: .*locked may not be written to"):
        check_output(tmp_path / place)


def test_names_of_found_files_are_utf_8(tmp_path):
    for name in ("b.wav", "a.wav", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in files_in(tmp_path, "*.wav")] == ["a.wav", "b.wav"]
    (tmp_path / os.fsdecode(b"caf\xe9.wav")).touch()
    with pytest.raises(InputError, match=r"caf\\udce9\.wav' is not UTF-8: rename it"):
        files_in(tmp_path, "*.wav")
