"""Files are read once, and again when they have changed."""

import os
import time

import pytest

from music import file_hashes as subject
from music.errors import InputError
from music.file_hashes import file_hashes
from music.hashing import sha256_file


@pytest.fixture
def files(tmp_path):
    """Two files of a minute ago."""
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(path.name)
        age(path, 60)
    return paths


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture
def read(monkeypatch):
    """Return the list of files that are read from now on."""
    seen = []
    monkeypatch.setattr(subject, "sha256_file", lambda path: seen.append(path) or sha256_file(path))
    return seen


def test_what_has_not_changed_is_not_read_again(files, tmp_path, read):
    memory = tmp_path / "memory"
    found = file_hashes([*files, files[0]], memory)
    assert found == {path: sha256_file(path) for path in files}
    assert read == files
    assert file_hashes(files, memory) == found
    assert read == files
    assert len(list(memory.iterdir())) == 1  # nothing new, nothing written


def test_a_list_of_files_of_the_users_is_not_the_memory(files, tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "files-wanted.jsonl").write_text('{"path": "a.flac"}\n')
    assert file_hashes(files, tmp_path / "memory") == {path: sha256_file(path) for path in files}


@pytest.mark.parametrize("change", ["size", "time", "other"])
def test_what_has_changed_is_read_again(files, tmp_path, read, change):
    file_hashes(files, tmp_path / "memory")
    times = files[0].stat().st_atime_ns, files[0].stat().st_mtime_ns
    files[0].write_text("longer" if change == "size" else "c")
    if change == "other":  # of the same size and age, as copied from elsewhere
        os.utime(files[0], ns=times)
    else:
        age(files[0], 60 if change == "size" else 30)
    read.clear()
    assert file_hashes(files, tmp_path / "memory")[files[0]] == sha256_file(files[0])
    assert read == files[:1]
    assert file_hashes(files, tmp_path / "memory")[files[0]] == sha256_file(files[0])
    assert read == files[:1]


def test_a_file_that_has_just_been_written_is_not_remembered(files, tmp_path, read):
    files[0].touch()
    file_hashes(files, tmp_path / "memory")
    file_hashes(files, tmp_path / "memory")
    assert read == [*files, files[0]]


def test_without_a_memory_nothing_is_written(files, tmp_path, read):
    file_hashes(files)
    file_hashes(files)
    assert len(read) == 4
    assert sorted(tmp_path.iterdir()) == files


def test_a_missing_file_is_named(files, tmp_path):
    file_hashes(files, tmp_path / "memory")
    files[0].unlink()
    with pytest.raises(InputError, match=r"cannot read .*a: No such file"):
        file_hashes(files, tmp_path / "memory")
