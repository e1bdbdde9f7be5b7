"""Scorers that hear parts of a clip: which parts, and what becomes of their scores."""

import math

import pytest
import torch

from music.clips import Clip, read_clip, write_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.windowed import WINDOWS, Windowed, spans
from reward.plug_ins import PlugIn

RATE = 1_000
LEVELS = [1.0, 0.5, 0.25, 0.125]


@pytest.fixture
def stairs():
    """Return a clip of 33 s whose level falls every ten seconds."""
    samples = torch.arange(33 * RATE)
    tone = torch.sin(2 * math.pi * 100 * samples / RATE)
    return Clip((torch.tensor(LEVELS)[samples // (10 * RATE)] * tone)[None], RATE)


class Files:
    """Loudness of files alone."""

    name, metrics, hash = "files", ("level",), "files-1"

    def score(self, requests):
        return [{"level": float(read_clip(one.audio).waveform.square().mean())} for one in requests]


def score(name, *clips):
    scorer = load_scorer(name, device="cpu") if isinstance(name, str) else name
    return scorer.score([ScoreRequest(clip, Prompt("p", "pop")) for clip in clips])


def test_which_samples_are_heard():
    assert spans("first10", 33_000, RATE) == [slice(0, 10_000)]
    assert spans("first120", 33_000, RATE) == [slice(0, 33_000)]
    assert [(one.start, one.stop) for one in spans("mean10", 33_000, RATE)] == [
        (0, 10_000),
        (10_000, 20_000),
        (20_000, 30_000),
        (30_000, 33_000),
    ]
    assert spans("mean10", 31_000, RATE)[-1] == slice(20_000, 30_000)  # a second more is left out
    assert spans("mean10", 31_001, RATE)[-1] == slice(30_000, 31_001)
    assert spans("first120", 500_000, RATE) == [slice(0, 120_000)]
    assert spans("mean10", 500_000, RATE)[-1] == slice(110_000, 120_000)
    for window in WINDOWS:
        assert spans(window, 10_000, RATE) == [slice(0, 10_000)]
        assert spans(window, 300, RATE) == [slice(0, 300)]


def test_the_mean_of_pieces_is_that_of_their_scores(stairs):
    powers = [level**2 / 2 for level in LEVELS]
    pieces = [10 * math.log10(power) for power in powers]
    whole = 10 * math.log10((10 * sum(powers[:3]) + 3 * powers[3]) / 33)
    for window, expected in (("first10", pieces[0]), ("mean10", sum(pieces) / 4), ("first120", whole)):
        assert score(f"{window}:loudness", stairs)[0]["loudness"] == pytest.approx(expected, abs=1e-4)


def test_scorers_of_files_hear_the_same(stairs):
    for window, expected in (("first10", 0.5), ("mean10", sum(level**2 / 8 for level in LEVELS))):
        found = score(Windowed(PlugIn(Files()), window), stairs, stairs.first(10.0))
        assert found[0]["level"] == pytest.approx(expected, rel=1e-5)
        assert found[1]["level"] == pytest.approx(0.5, rel=1e-5)


def test_a_score_depends_on_neither_neighbours_nor_whether_it_is_a_file(stairs, tmp_path, scoring):
    place = f"mean10:{scoring / 'sa_plain'}"
    real = read_clip(scoring / "audio" / "a0.flac")
    long = Clip(torch.cat([real.waveform, 0.3 * real.waveform.flip(1)] * 3, dim=1), real.sample_rate)
    write_clip(tmp_path / "long.flac", long)
    (alone,) = score(place, tmp_path / "long.flac")
    together = score(place, real, read_clip(tmp_path / "long.flac"), stairs)
    assert together[1] == pytest.approx(alone, abs=1e-5)
    assert score(place, real)[0] == pytest.approx(score(str(scoring / "sa_plain"), real)[0], abs=1e-5)


def test_windows_have_names_and_hashes_of_their_own():
    scorers = [load_scorer(f"{window}:{name}") for window in WINDOWS for name in ("loudness", "constant")]
    assert len({one.hash for one in scorers}) == len({one.name for one in scorers}) == 6
    assert [load_scorer(f"{window}:loudness").max_seconds for window in WINDOWS] == [10.0, 120.0, 120.0]
    with pytest.raises(InputError, match="unknown scorer 'nobody'"):
        load_scorer("mean10:nobody")
    with pytest.raises(InputError, match="mean10"):
        load_scorer("mean10:")
