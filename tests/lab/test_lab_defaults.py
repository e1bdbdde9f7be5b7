"""What commands of the lab do when they are told nothing: they say what it takes, and leave what ships alone."""

from dataclasses import fields
from pathlib import Path

import pytest

from experiments.lab.judgement_sets import CLIPS, WriteSets
from experiments.lab.show import Show
from experiments.lab.train import PARTS, TrainLab
from experiments.lab.train import main as train_lab
from music.errors import InputError
from music.shipped_files import LAB


@pytest.mark.parametrize("command", [TrainLab, Show])
def test_nothing_is_written_over_what_ships(command):
    (output,) = (field.default for field in fields(command) if field.name == "output")
    assert output.parts[0] == "runs"
    assert LAB.resolve() not in (output.resolve(), *output.resolve().parents)


def test_all_parts_are_trained_where_the_user_wants_them(monkeypatch, capsys):
    trained = []
    for part in PARTS:
        monkeypatch.setitem(PARTS, part, lambda output, work, part=part: trained.append((part, output)))
    train_lab(TrainLab())
    said = capsys.readouterr()
    assert trained == [(part, Path("runs/lab/models")) for part in PARTS]
    assert said.out == "runs/lab/models\n"
    assert "about 7 hours" in said.err


def test_a_part_that_lacks_another_names_it(tmp_path):
    with pytest.raises(InputError, match=r"cmi_rm needs .*mulan: train the part mulan first"):
        train_lab(TrainLab("cmi_rm", tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("workers", "told"),
    [(2, "about 14,200 clips, 3.4 GB and 2 min with 2 processes"), (1, "3.4 GB and 5 min with 1 process;")],
)
def test_time_and_disk_are_told_before(capsys, workers, told):
    WriteSets(workers=workers).announce("CMI-RewardBench", *CLIPS["CMI-RewardBench"])
    assert told in capsys.readouterr().err
