"""A study of the version before, with the answers of its raters."""

import json

import pytest

from tests.ab_test.running_server import HttpRater, RunningServer
from tests.before.files import rows, state, table

for _name in ("sqlalchemy", "fastapi", "pyloudnorm"):
    pytest.importorskip(_name)
STUDY = "4bc55274899945e7"


def test_a_study_is_analyzed_as_before(before, command):
    folder = before / "listening_test"
    command("experiments.ab_test", "analyze", "listening_test", "--output", "analysis", "--screening.seconds", 0,
            "--screening.catch", 0, "--screening.headphones", 0, "--device", "cpu")  # fmt: skip
    for name in ("wins.csv", "strengths.csv", "agreement.csv", "raters.csv"):
        assert table(before / "analysis" / name) == table(folder / "analysis" / name)


def test_answers_are_exported_as_before(before, command):
    folder, out = before / "listening_test", before / "out"
    command("experiments.ab_test", "export", "listening_test", "--output", "out")
    for name in ("answers.jsonl", "raters.jsonl"):
        assert rows(out / name) == rows(folder / name)
    told = command("experiments.ab_test", "export", "listening_test", "--to", "preferences", "--output", "out",
                   "--validation", 0, "--screening.seconds", 0, "--screening.catch", 0,
                   "--screening.headphones", 0)  # fmt: skip
    assert json.loads(told) == {"out/preferences.jsonl": 6}
    assert all((out / row["audio_a"]).is_file() for row in rows(out / "preferences.jsonl"))


def test_a_study_is_blind_as_before(before, command):
    assert command("experiments.ab_test", "check", "listening_test").startswith("0 findings")


def test_a_study_is_served_with_its_answers(before):
    folder = before / "listening_test"
    blinded = state(folder / "blinded", "*")
    with RunningServer(folder / "blinded") as server:
        assert server.admin(STUDY, "answers") == rows(folder / "answers.jsonl")
        rater = HttpRater(server.address, STUDY)
        assert rater.answer(rater.join().json()).status_code == 200
        assert len(server.admin(STUDY, "answers")) == 10
    assert state(folder / "blinded", "*") == blinded
