"""run.json says what ran."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from music.distributed.same_inputs import meet
from music.errors import InputError
from music.provenance import claim_folder, device_name, git_revision, write_run_record


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


@dataclass(frozen=True)
class OtherConfig(Config):
    pass


def test_a_folder_is_that_of_the_command_that_has_finished_there(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/reward/train.py", "--steps", "3"])
    claim_folder(tmp_path / "new", OtherConfig(tmp_path))
    path = write_run_record(tmp_path, Config(tmp_path))
    written = path.read_bytes()
    told = rf"{tmp_path} holds the results of another command \(reward/train.py\): choose another --output"
    with pytest.raises(InputError, match=told):
        claim_folder(tmp_path, OtherConfig(tmp_path))
    with pytest.raises(InputError, match=told):
        write_run_record(tmp_path, OtherConfig(tmp_path))
    with pytest.raises(InputError, match=told), meet(OtherConfig(tmp_path), tmp_path, alone=True):
        pass
    assert path.read_bytes() == written
    assert [one.name for one in tmp_path.iterdir()] == ["run.json"]
    claim_folder(tmp_path, Config(tmp_path, n=4))  # the same command again decides itself


@pytest.mark.parametrize("content", ['{"command": ["python", "x.py"], "config": {}}', "[]", "no JSON"])
def test_what_does_not_say_whose_it_is_may_be_anybodys(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    claim_folder(tmp_path, Config(tmp_path))
