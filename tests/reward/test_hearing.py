"""What was done to a clip before it was heard is told beside its score, and counted."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch

from music.clips import ClipHeader
from reward import load_scorer
from reward.hearing import Hearing, counted, told_of
from reward.protocol import Scorer, hearings_of
from reward.score import ScoreConfig, main
from reward.scoring.loaded_rows import HEARD
from reward.scoring.rows import score_rows

STEREO = ClipHeader(sample_rate=44_100, channels=2, samples=20 * 44_100)
PLAIN = ClipHeader(sample_rate=24_000, channels=1, samples=10 * 24_000)
CMI_RM = Hearing(mono=True, sample_rate=24_000, seconds=12.5)


@pytest.mark.parametrize(
    ("hearing", "told"),
    [
        (Hearing(), []),
        (
            CMI_RM,
            [
                "mixed to mono from 2 channels",
                "resampled from 44100 to 24000 Hz",
                "only the first 12.5 s of 20.0 s were heard",
            ],
        ),
        (Hearing(seconds=20.0), []),
        (Hearing(seconds=5.0).of_beginning(10), ["only the first 5 s of 20.0 s were heard"]),
        (Hearing(seconds=120.0).of_beginning(10), ["only the first 10 s of 20.0 s were heard"]),
        (Hearing(seconds=120.0).of_pieces(10, 120), ["heard in pieces of 10 s"]),
        (Hearing(seconds=4.0).of_pieces(10, 120), ["only the first 4 s of each 10 s were heard"]),
        (
            Hearing().of_pieces(10, 15),
            ["only the first 15 s of 20.0 s were heard", "heard in pieces of 10 s"],
        ),
    ],
)
def test_what_is_done_to_a_clip(hearing, told):
    assert hearing.facts(STEREO) == told


@pytest.mark.parametrize("hearing", [CMI_RM, Hearing().of_pieces(10, 120), CMI_RM.of_pieces(10, 120)])
def test_nothing_is_told_of_a_clip_that_is_heard_as_it_is(hearing):
    assert told_of(PLAIN, [hearing]) == ""


def test_what_only_some_scorers_do_is_told_so():
    assert told_of(STEREO, [CMI_RM, Hearing(mono=True)]).split("; ") == [
        "mixed to mono from 2 channels",
        "resampled from 44100 to 24000 Hz by some of the scorers",
        "only the first 12.5 s of 20.0 s were heard by some of the scorers",
    ]


def test_clips_are_counted_by_what_was_done_to_them():
    told = [told_of(STEREO, [CMI_RM]), told_of(PLAIN, [CMI_RM]), told_of(STEREO, [Hearing(mono=True)])]
    assert counted(told) == "2 of 3 clips were mixed to mono; 1 was resampled; 1 was heard in part"
    assert counted(["", ""]) == ""


def test_what_is_made_of_several_scorers_hears_as_they_do():
    one = hearings_of(load_scorer("lab-cmi-rm", device="cpu", max_seconds=30))
    assert one == (Hearing(True, 24_000, 30.0),)
    assert hearings_of(load_scorer("first10:lab-cmi-rm", device="cpu")) == (Hearing(True, 24_000, 10.0),)
    assert hearings_of(load_scorer("lab-cmi-rm,loudness", device="cpu", max_seconds=30)) == (*one, Hearing())


@pytest.fixture
def clips(tmp_path):
    """Return a folder with a clip of two channels, one as the model hears it, and one that is broken."""
    rng = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "stereo.wav", 0.1 * rng.standard_normal((32_000, 2)), 16_000)
    soundfile.write(tmp_path / "clips" / "plain.wav", 0.1 * rng.standard_normal(24_000), 24_000)
    (tmp_path / "clips" / "broken.wav").write_bytes(b"no audio")
    return tmp_path / "clips"


def test_rows_table_and_terminal_tell_it(clips, tmp_path, capsys):
    output, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    options = {"text": "pop", "reward_options": "max_seconds=1.5", "device": "cpu", "csv": str(table)}
    told = (
        "mixed to mono from 2 channels; resampled from 16000 to 24000 Hz; "
        "only the first 1.5 s of 2.0 s were heard"
    )
    for _ in range(2):  # also of rows that are kept
        assert main(ScoreConfig(str(clips), str(output), **options)) == 1
        said = capsys.readouterr().err
        assert "1 of 2 clips were" not in said
        assert "1 of 2 clips was mixed to mono; 1 was resampled; 1 was heard in part\n" in said
        rows = {row["id"]: row.get(HEARD) for row in map(json.loads, output.read_text().splitlines())}
        assert rows == {"stereo.wav": told, "plain.wav": None, "broken.wav": None}
        with table.open(newline="") as file:
            assert {line["id"]: line[HEARD] for line in csv.DictReader(file)}["stereo.wav"] == told


@pytest.mark.parametrize("workers", [0, 2])
def test_the_level_is_told_too(clips, tmp_path, workers, capsys):
    options = {"reward": "loudness", "level": -30.0, "workers": workers, "device": "cpu"}
    assert main(ScoreConfig(str(clips), str(tmp_path / "out.jsonl"), **options)) == 1
    rows = {row["id"]: row.get(HEARD) for row in map(json.loads, (tmp_path / "out.jsonl").open())}
    assert rows["plain.wav"] == "brought from -20.0 to -30 dBFS"
    assert "2 of 2 clips were brought to one level" in capsys.readouterr().err


def test_a_scorer_that_says_nothing_of_it_is_told_nothing_of(clips, tmp_path):
    score_rows(clips, tmp_path / "out.jsonl", load_scorer("tests.scaling.loudness_scorer:LoudnessScorer"))
    assert HEARD not in (tmp_path / "out.jsonl").read_text()


class Watching(Scorer):
    """What may be computed in TF32 while it scores."""

    name, metrics, hash = "watching", ("tf32",), "0"

    def score(self, requests):
        allowed = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        return [{"tf32": float(any(allowed))} for _ in requests]


@pytest.fixture
def backends():
    """Return what knows TF32, as it was before a test once that has ended."""
    found = (torch.backends.cuda.matmul, torch.backends.cudnn)
    given = [backend.allow_tf32 for backend in found]
    yield found
    for backend, allowed in zip(found, given, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.parametrize("allowed", [False, True])
def test_float32_is_float32_while_anything_is_scored(clips, tmp_path, backends, allowed):
    for backend in backends:
        backend.allow_tf32 = allowed
    found = score_rows(clips, tmp_path / "out.jsonl", Watching())
    assert {row["tf32"] for row in found.results} == {0.0}
    assert [backend.allow_tf32 for backend in backends] == [allowed] * 2
