"""run.json says what ran."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from music.provenance import device_name, git_revision, write_run_record


@dataclass(frozen=True)
class Config:
    output: Path
    n: int = 3


def test_the_record(tmp_path):
    path = write_run_record(tmp_path / "out", Config(tmp_path), hashes={"model": "abc"}, data=Path("x"))
    record = json.loads(path.read_text())
    assert path == tmp_path / "out" / "run.json"
    assert record["config"] == {"output": str(tmp_path), "n": 3}
    assert record["hashes"] == {"model": "abc"}
    assert record["data"] == "x"
    assert (
        record["versions"]["torch"] == torch.__version__.split("+")[0]
        or record["versions"]["torch"] == torch.__version__
    )
    assert record["wall_seconds"] > 0
    assert record["command"]
    assert {"started", "revision", "device", "threads", "processes", "python"} <= set(record)


def test_a_clock_that_is_set_back_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 < json.loads(write_run_record(tmp_path, {}).read_text())["wall_seconds"] < 3600


def test_a_mapping_will_do_and_nothing_is_left_behind(tmp_path):
    write_run_record(tmp_path, {"n": 1})
    write_run_record(tmp_path, {"n": 2})
    assert json.loads((tmp_path / "run.json").read_text())["config"] == {"n": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_the_device_is_the_one_of_the_config(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    write_run_record(tmp_path, {"device": "cpu"})
    assert json.loads((tmp_path / "run.json").read_text())["device"].startswith("CPU ")
    assert (device_name("cuda:1"), device_name()) == ("GPU cuda:1", "GPU None")


def test_the_revision_of_another_repository_is_not_ours(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    file = tmp_path / "site-packages" / "module.py"
    file.parent.mkdir()
    file.write_text("")
    git("init")
    git("commit", "--allow-empty", "-m", "theirs")
    assert git_revision(file) is None
    git("add", ".")
    git("commit", "-m", "ours")
    revision = git_revision(file)
    assert revision is not None
    assert revision["modified"] is False
    file.write_text("changed")
    assert git_revision(file) == {**revision, "modified": True}


def test_a_git_that_hangs_does_not_harm_the_run(tmp_path, monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert json.loads(write_run_record(tmp_path, {}).read_text())["revision"] is None
