"""Audio far above full scale is told in its row, and may be judged at one level."""

import json

import numpy as np
import pytest
import soundfile

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import load_scorer, score
from reward.protocol import Scorer
from reward.score import ScoreConfig
from reward.scoring.level import AtLevel, level_of, too_loud
from reward.scoring.rows import WARNING, score_rows

RATE = 8000
TONE = (0.4 * np.sin(np.arange(RATE) / 5)).astype(np.float32)


class ReadsFiles(Scorer):
    """The level of files."""

    name, metrics, hash = "files", ("level",), "0"

    def score(self, requests):
        return [{"level": level_of(read_clip(one.audio).waveform)} for one in requests]


@pytest.fixture
def rows(tmp_path):
    """Return a file of rows: as recorded, as integers that nobody has divided, and a little too loud."""
    for name, gain in (("plain", 1.0), ("integers", 32768.0), ("mastered", 3.0)):
        soundfile.write(tmp_path / f"{name}.wav", gain * TONE, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "fixed.wav", TONE, RATE, subtype="PCM_16")
    names = ("plain", "integers", "mastered", "fixed")
    lines = (json.dumps({"id": name, "audio": f"{name}.wav"}) + "\n" for name in names)
    (tmp_path / "in.jsonl").write_text("".join(lines))
    return tmp_path / "in.jsonl"


def results(path):
    return {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("scorer", [load_scorer("loudness"), ReadsFiles()], ids=lambda scorer: scorer.name)
def test_audio_far_above_full_scale_is_told_in_its_row(rows, tmp_path, scorer, workers):
    for kept in (0, 4):  # and the row is kept by the next run
        counts = score_rows(rows, tmp_path / "out.jsonl", scorer, workers=workers)
        assert (counts.scored, counts.kept, counts.failed, counts.warned) == (4 - kept, kept, 0, 1)
    found = results(tmp_path / "out.jsonl")
    assert [name for name, row in found.items() if WARNING in row] == ["integers"]
    assert "13107.2 times full scale" in found["integers"][WARNING]
    assert "--level" in found["integers"][WARNING]


def test_at_one_level_it_is_judged_as_if_it_were_recorded_well(rows, tmp_path, capsys):
    for name in ("one", "two"):
        level = -20.0 if name == "two" else None
        output = str(tmp_path / f"{name}.jsonl")
        assert score.main(ScoreConfig(reward="loudness", input=str(rows), output=output, level=level)) == 0
    assert "1 far above full scale, see their 'audio_warning'" in capsys.readouterr().err
    one, two = (results(tmp_path / f"{name}.jsonl") for name in ("one", "two"))
    assert one["integers"]["loudness"] > one["plain"]["loudness"] + 80
    assert two["integers"][WARNING].endswith("times full scale: it was judged at -20 dBFS")
    assert [row["loudness"] for row in two.values()] == pytest.approx([-20.0] * 4, abs=1e-3)
    assert {row["model"] for row in one.values()} != {row["model"] for row in two.values()}
    levelled = AtLevel(ReadsFiles(), -20.0)  # of a scorer that takes files alone
    assert score_rows(rows, tmp_path / "three.jsonl", levelled, workers=1).failed == 0
    assert results(tmp_path / "three.jsonl")["mastered"]["level"] == pytest.approx(-20.0, abs=1e-3)


@pytest.mark.parametrize("level", [3.0, -101.0, float("nan")])
def test_a_level_that_no_file_can_have_is_refused(level):
    with pytest.raises(InputError, match="--level must lie between"):
        ScoreConfig(input="a.jsonl", output="b.jsonl", level=level)


def test_what_the_judge_refuses_is_refused_at_any_level():
    class NeedsText(ReadsFiles):
        def check_prompt(self, prompt):
            if not prompt.text:
                raise InputError(f"{prompt.id} has no text")

    levelled = AtLevel(NeedsText(), -20.0)
    levelled.check_prompt(Prompt("p", "calm"))
    with pytest.raises(InputError, match="p has no text"):
        levelled.check_prompt(Prompt("p", ""))


def test_what_lies_within_full_scale_is_not_told():
    import torch

    assert too_loud(Clip(torch.ones(1, 5), RATE)) == ""
    assert too_loud(Clip(torch.zeros(1, 0), RATE)) == ""
    assert too_loud(Clip(torch.full((1, 5), 50.0), RATE)).startswith("its peak is 50 times")


def test_a_row_that_fails_for_its_level_says_so(tmp_path):
    class Overflows(ReadsFiles):
        def score(self, requests):
            raise InputError("level is nan, not a finite number")

    soundfile.write(tmp_path / "a.wav", np.full(RATE, 1e30, np.float32), RATE, subtype="FLOAT")
    (tmp_path / "in.jsonl").write_text('{"id": "a", "audio": "a.wav"}\n')
    assert score_rows(tmp_path / "in.jsonl", tmp_path / "out.jsonl", Overflows()).failed == 1
    assert (
        "nan, not a finite number (its peak is 1e+30 times" in results(tmp_path / "out.jsonl")["a"]["error"]
    )
