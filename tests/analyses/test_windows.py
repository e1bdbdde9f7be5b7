"""How much of a clip is heard: real audio whose levels are known, and a scorer of levels."""

import csv
import math

import numpy as np
import pytest
import torch

from experiments.analyses.window_measures import by_length, rating_map
from experiments.analyses.windows import Windows, main
from music.clips import Clip, write_clip
from music.errors import InputError
from reward.baselines.windowed import WINDOWS
from reward.benchmark.command import Benchmark
from reward.benchmark.command import main as benchmark
from tests.analyses.battles import write

RATE = 1_000
LOUDNESS = {"reward": "loudness", "musicality": "loudness", "device": "cpu"}


def stairs(path, levels, last=10.0):
    """Write a tone whose level is another every ten seconds; the last of them takes `last` s. Levels in dBFS."""
    lengths = [10 * RATE] * (len(levels) - 1) + [round(last * RATE)]
    gains = torch.cat(
        [torch.full((length,), 10 ** (level / 20)) for level, length in zip(levels, lengths, strict=True)]
    )
    tone = math.sqrt(2) * torch.sin(torch.arange(len(gains)) * 2 * math.pi / 20)
    write_clip(path, Clip((gains * tone)[None].float(), RATE))
    return path.name


def heard(levels, last=10.0):
    """Return what loudness says of first10, mean10 and first120."""
    weights = np.array([10.0] * (len(levels) - 1) + [last])
    powers = 10 ** (np.array(levels) / 10)
    return [levels[0], float(np.mean(levels)), 10 * math.log10(weights @ powers / weights.sum())]


@pytest.fixture(scope="module")
def clips():
    """Return the levels of twelve clips of 25 s."""
    return (-30 + 8 * np.random.default_rng(0).random((12, 3))).tolist()


@pytest.fixture(scope="module")
def options(clips, tmp_path_factory):
    """Write a benchmark of 24 rows and look at it once."""
    folder = tmp_path_factory.mktemp("windows")
    rows = []
    for number, levels in enumerate(clips):
        whole = heard(levels, 5.0)[2]
        name = stairs(folder / f"pam-{number}.flac", levels, 5.0)
        opinion = 2 * math.tanh(0.1 * (whole + 26)) + 3  # people hear the whole
        row = {"split": "test", "source": "PAM", "audio-path": name, "prompt": f"pam {number}"}
        rows.append(row | {"musicality": opinion})
    for number in range(12):  # the first begins louder, the second is louder in all
        a = stairs(folder / f"a-{number}.flac", [-10.0, -40.0 - number])
        b = stairs(folder / f"b-{number}.flac", [-12.0, -12.0] if number < 9 else [-12.0], 9.0)
        row = {"split": "test", "source": "cmi-arena-annotation", "audio-path": a, "audio2": b}
        rows.append(
            row | {"prompt": f"pair {number}", "preference-musicality": "model_b", "ref-audio-path": ""}
        )
    found = Windows(folder / "out", data=write(folder / "all_test.jsonl", rows), **LOUDNESS)
    assert main(found) == 0
    return found


def table(options, name):
    return list(csv.DictReader((options.output / f"{name}.csv").open()))


def chosen(rows, **wanted):
    return {row.get("window") or row["windows"]: row for row in rows if wanted.items() <= row.items()}


def test_pairs_are_judged_by_what_was_heard(options):
    found = chosen(table(options, "people"), dataset="CMI-Pref", duration="all")
    assert [float(found[name]["value"]) for name in WINDOWS] == [0, 1, 1]
    assert found["first10"]["difference"] == "-1.0"
    assert found["first120"]["difference"] == ""
    assert {row["n"] for row in found.values()} == {"12"}
    short = chosen(table(options, "people"), dataset="CMI-Pref", duration="[10,30)")  # the mean of both clips
    assert short["first10"]["n"] == "12"


def test_opinions_are_compared_by_correlation_and_error(options, clips):
    scores = np.array([heard(levels, 5.0) for levels in clips])
    opinions = 2 * np.tanh(0.1 * (scores[:, 2] + 26)) + 3
    rows = table(options, "people")
    lcc, rmse = (chosen(rows, dataset="PAM", metric=metric, duration="all") for metric in ("LCC", "RMSE"))
    for place, name in enumerate(WINDOWS):
        expected = np.corrcoef(scores[:, place], opinions)[0, 1]
        assert float(lcc[name]["value"]) == pytest.approx(expected, abs=1e-3)
        error = np.sqrt(np.mean((2 * np.tanh(0.1 * (scores[:, place] + 26)) + 3 - opinions) ** 2))
        assert float(rmse[name]["value"]) == pytest.approx(error, abs=1e-3)
        assert float(lcc[name]["low"]) <= float(lcc[name]["value"]) <= float(lcc[name]["high"])
    assert float(lcc["first10"]["difference_high"]) < 0 < float(rmse["first10"]["difference_low"])


def test_windows_are_compared_clip_by_clip(options, clips):
    scores = [heard(levels, 5.0) for levels in clips]
    for number in range(12):
        scores += [heard([-10.0, -40.0 - number]), heard([-12.0, -12.0], 9.0) if number < 9 else [-12.0] * 3]
    scores = np.array(scores)
    rows = table(options, "windows")
    assert {row["task"] for row in rows} == {"musicality"}
    for name, one, other in (
        ("first10 and first120", 0, 2),
        ("mean10 and first120", 1, 2),
        ("first10 and mean10", 0, 1),
    ):
        error = np.sqrt(np.mean((scores[:, one] - scores[:, other]) ** 2))
        expected = {
            "LCC": np.corrcoef(scores[:, one], scores[:, other])[0, 1],
            "RMSE": error,
            "RMSE/SD": error / scores[:, 2].std(),
        }
        for metric, value in expected.items():
            row = chosen(rows, metric=metric, duration="all")[name]
            assert float(row["value"]) == pytest.approx(value, abs=1e-3)
            assert (row["n"], row["prompts"]) == ("36", "24")
    tiny = chosen(rows, metric="RMSE", duration="[0,10)")  # three clips of 9 s, heard whole by all
    assert [(row["n"], row["value"], row["low"]) for row in tiny.values()] == [("3", "0.0", "")] * 3


def test_page_and_figure(options, capsys):
    page = (options.output / "table.md").read_text()
    assert "24 rows of" in page
    assert "[10,30) s" in page
    assert (options.output / "figure.png").stat().st_size > 10_000
    assert (options.output / "first10" / "results.jsonl").is_file()


def test_a_second_run_scores_nothing_and_says_the_same(options, capsys):
    def scores():
        return [(options.output / name / "scores.jsonl").read_bytes() for name in WINDOWS]

    before, page = scores(), (options.output / "table.md").read_text()
    for name in ("first10", "mean10"):  # a kill in the second window
        lines = (options.output / name / "scores.jsonl").read_text().splitlines(keepends=True)
        (options.output / name / "scores.jsonl").write_text("".join(lines[: 5 if name == "mean10" else None]))
    assert main(options) == 0
    assert scores() == before
    assert capsys.readouterr().out == page


def test_the_whole_is_what_the_benchmark_hears(options, tmp_path, capsys):
    benchmark(Benchmark(tmp_path, data=options.data, **LOUDNESS))
    first120 = options.output / "first120" / "results.jsonl"
    assert (tmp_path / "results.jsonl").read_text() == first120.read_text()


def test_audio_that_cannot_be_scored_is_left_out_of_all_windows(options, tmp_path, capsys):
    lines = options.data.read_text().splitlines(keepends=True)
    data = options.data.with_name("broken.jsonl")
    data.write_text("".join([lines[0].replace("pam-0.flac", "gone.flac"), *lines[1:4]]))
    assert main(Windows(tmp_path / "out", data=data, **LOUDNESS)) == 1
    assert "3 rows of" in (tmp_path / "out" / "table.md").read_text()
    data.write_text(lines[0].replace("pam-0.flac", "gone.flac"))
    with pytest.raises(InputError, match="no row of the split 'test' whose audio can be scored"):
        main(Windows(tmp_path / "none", data=data, **LOUDNESS))
    with pytest.raises(InputError, match="--limit must be at least 1"):
        Windows(data=data, limit=0)
    with pytest.raises(InputError, match="the scorer measures loudness"):
        main(Windows(tmp_path / "other", data=options.data, reward="loudness"))


def test_without_rows_it_is_the_labs_or_what_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"run python -m .*judgement_sets --only CMI-RewardBench"):
        main(Windows())


def test_the_map_of_ratings_is_found_in_any_unit():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=200)
    ratings = 2 * np.tanh(0.7 * scores + 0.3) + 3
    for scale, shift in ((1.0, 0.0), (0.001, 5.0), (40.0, -300.0)):
        np.testing.assert_allclose(
            rating_map(scale * scores + shift, ratings)(scale * scores + shift), ratings, atol=1e-4
        )
    flat = rating_map(np.zeros(9), np.full(9, 4.0))  # nothing to go by but the mean
    np.testing.assert_allclose(flat(np.zeros(2)), 4.0, atol=1e-4)


def test_rows_by_length():
    rows = [{"seconds": 12.0}, {"seconds": 200.0}, {"seconds": 10.0, "seconds_b": 50.0}, {}]
    assert by_length(rows) == [("all", [0, 1, 2, 3]), ("[10,30)", [0]), ("[30,60)", [2]), ("[120,500]", [1])]
    assert by_length([]) == []
