"""run.json says what ran."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from music.provenance import write_run_record


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


def test_a_mapping_will_do_and_nothing_is_left_behind(tmp_path):
    write_run_record(tmp_path, {"n": 1})
    write_run_record(tmp_path, {"n": 2})
    assert json.loads((tmp_path / "run.json").read_text())["config"] == {"n": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
