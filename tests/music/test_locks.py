"""Locks: one writer of a file, one run in a folder, and a file system without any."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from music import locks
from music.errors import InputError
from music.jsonl import JsonlAppender, read_jsonl
from music.locks import FolderLock

HOLD = "import sys; from music.locks import FolderLock; held = FolderLock(__import__('pathlib').Path(sys.argv[1]))"


def test_one_run_at_a_time_in_a_folder(tmp_path):
    folder = tmp_path / "run"
    wait = f"{HOLD}; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", wait, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match=f"another run is at work in {folder}: wait for it"):
            FolderLock(folder)
        other.kill()
    again = FolderLock(folder)  # what a killed run leaves keeps nobody out
    FolderLock(folder).release()
    again.release()
    assert list(folder.iterdir()) == []
    FolderLock(tmp_path / "new").release()
    assert not (tmp_path / "new").exists()  # a run that fails before it makes anything leaves nothing


def test_a_fork_that_ends_lets_nobody_in(tmp_path):
    held = FolderLock(tmp_path)
    if (child := os.fork()) == 0:
        held.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 1
    done = subprocess.run([sys.executable, "-c", HOLD, tmp_path], capture_output=True, text=True)
    assert "another run is at work" in done.stderr
    held.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EIO, errno.EACCES])
def test_a_file_system_without_locks_is_gone_without_and_said_so(tmp_path, monkeypatch, capsys, number):
    def lock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", lock)
    monkeypatch.setattr(fcntl, "lockf", lock)
    monkeypatch.setattr(locks, "_told", set())
    for name in ("a", "b"):
        with JsonlAppender(tmp_path / f"{name}.jsonl") as appender:
            appender.append({"a": 1})
        assert [row for _, row in read_jsonl(tmp_path / f"{name}.jsonl")] == [{"a": 1}]
    FolderLock(tmp_path).release()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{tmp_path} is on a file system without locks ({os.strerror(number)})" in told
