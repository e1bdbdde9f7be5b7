"""The tables are the authors', and what goes beyond them follows from the rows."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from music.errors import InputError
from music.intervals import RESAMPLES, estimate_each, estimate_from, estimate_mean, resample_weights
from music.jsonl import dump_line, read_jsonl
from music.tables import csv_table
from reward.benchmark.command import Benchmark, main
from reward.benchmark.comparison import compare
from reward.benchmark.extra import extra, prompt_of
from reward.benchmark.metrics import DETAIL, SUMMARY, correlations, detail, summary
from reward.benchmark.weighted_correlations import correlations_of_resamples

GOLDEN = Path(__file__).parents[1] / "data" / "metrics"
PAIR = {"split": "test", "source": "cmi-arena-annotation", "audio-path": "a", "audio2": "b", "prompt": "x"}

BATTLE = {"split": "test", "source": "Music Arena", "audio-path": "MusicArena_data/audio/02-2025SEP/a.mp3"}


@pytest.fixture(scope="module")
def rows():
    return [row for _, row in read_jsonl(GOLDEN / "results.jsonl")]


def pair(number, gold, gap, **others):
    """Return a pair in which people and a scorer judged musicality."""
    predicted = "model_a" if gap > 0 else "model_b" if gap < 0 else "both"
    return {
        **PAIR,
        "audio-path": f"{number}",
        "prompt": f"prompt {number}",
        "preference-musicality": gold,
        "predicted_preference-musicality": predicted,
        "predicted_musicality": 1.0 + gap,
        "predicted_musicality_b": 1.0,
        **others,
    }


def found(lines, **wanted):
    """Return the one line of which these values are told."""
    (line,) = [line for line in lines if wanted.items() <= line.items()]
    return line


@pytest.mark.parametrize(
    ("name", "lines_of", "columns"), [("summary", summary, SUMMARY), ("detail", detail, DETAIL)]
)
def test_tables_are_those_of_the_authors(rows, name, lines_of, columns):
    expected = list(csv.reader((GOLDEN / f"metrics_{name}.csv").read_text().splitlines()))
    written = list(csv.reader(io.StringIO(csv_table(lines_of(rows), columns))))
    assert written[0] == expected[0]
    assert len(written) == len(expected)
    for line, other in zip(written[1:], expected[1:], strict=True):
        for column, value, true in zip(columns, line, other, strict=True):
            if column in ("SRCC", "LCC", "K-Tau", "ACC") and true:
                assert float(value) == pytest.approx(float(true), abs=1e-9)
            else:
                assert value == true


def test_a_constant_scorer_is_right_in_half_of_what_people_decided():
    rows = [pair(number, "model_a" if number % 3 else "model_b", 0.0) for number in range(30)]
    assert found(summary(rows), task="musicality")["ACC"] == 0.5
    line = found(extra(rows), group_key="all", metric="ACC_decided")
    assert (line["value"], line["predicted_ties"], line["ties"]) == (0.5, 30, 0)
    assert found(extra(rows), group_key="all", metric="cross_entropy")["value"] == pytest.approx(math.log(2))


def test_swapping_the_clips_changes_nothing(rows):
    turned = [other_way_round(row) if "audio2" in row else row for row in rows]
    assert turned != rows
    assert summary(turned) == summary(rows)
    for line, other in zip(extra(turned), extra(rows), strict=True):
        for name, value in other.items():
            assert line[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_ties_are_told_and_left_out_of_what_people_decided():
    rows = [pair(0, "model_a", 1.0), pair(1, "both", 1.0), pair(2, "neither", -1.0), pair(3, "model_b", 1.0)]
    lines = extra(rows)
    whole = found(lines, group_key="all", metric="ACC")
    assert (whole["value"], whole["n"], whole["ties"]) == (0.5, 4, 2)
    decided = found(lines, group_key="all", metric="ACC_decided")
    assert (decided["value"], decided["n"]) == (0.5, 2)


def test_groups_by_length_and_generator():
    rows = [
        pair(0, "model_a", 1.0, seconds=10.0, seconds_b=20.0, model_a="one", model_b="two"),
        pair(1, "model_a", -1.0, seconds=500.0, seconds_b=500.0, model_a="one", model_b="three"),
        pair(2, "model_a", -1.0, seconds=5.0, seconds_b=5.0),
    ]
    lines = [line for line in extra(rows) if line["metric"] == "ACC"]
    lengths = {line["group_value"] for line in lines if line["group_key"] == "duration"}
    assert lengths == {"[0,10)", "[10,30)", "[120,500]"}
    by = {line["group_value"]: line for line in lines if line["group_key"] == "generator"}
    assert {name: (line["n"], line["value"]) for name, line in by.items()} == {
        "one": (2, 0.5),
        "two": (1, 1.0),
        "three": (1, 0.0),
    }


def test_battles_are_predicted_from_musicality_and_also_from_both():
    battle = pair(0, "", 1.0, source="Music Arena", preference="B")
    battle |= {"predicted_text-music alignment": 0.0, "predicted_text-music alignment_b": 5.0}
    del battle["preference-musicality"]
    assert summary([battle])[0]["ACC"] == 0.0
    assert found(extra([battle]), group_key="all", metric="ACC")["value"] == 0.0
    assert found(extra([battle]), group_key="predicted from", metric="ACC")["value"] == 1.0


def test_a_battle_is_predicted_by_its_label_where_it_has_one():
    gap = {"predicted_musicality": 2.0, "predicted_musicality_b": 1.0}
    battle = BATTLE | {"audio2": "MusicArena_data/audio/02-2025SEP/b.mp3", "preference": "B"}
    rows = [
        battle | gap | {"predicted_preference": "model_b"},  # against its own scores
        battle | gap | {"predicted_preference": "both"},
        battle | {"predicted_preference": "model_b"},  # a judge of pairs has no scores
        battle | gap,  # no label: the more musical clip
        battle | {"prompt": "unpredicted"},
    ]
    (whole,), (month,) = summary(rows), detail(rows)
    assert (whole["n"], whole["ACC"]) == (month["n"], month["ACC"]) == (4, 0.625)
    assert month["group_value"] == "02-2025SEP"
    assert found(extra(rows), group_key="all", metric="ACC")["value"] == 0.625


def test_groups_without_a_prediction_have_a_line():
    rated = {"split": "test", "source": "PAM", "audio-path": "a", "musicality": 3, "predicted_musicality": 2}
    rows = [
        rated,
        BATTLE,
        {**PAIR, "preference-alignment": "a", "confidence_preference-musicality": 4},
        {**PAIR, "preference-musicality": "a", "predicted_preference-musicality": "a", "lyrics": "la"},
    ]
    assert [tuple(line.values()) for line in summary(rows)] == [
        ("PAM", "musicality", 1, None, None, None),
        ("PAM", "alignment", 0, None, None, None),
        ("MusicArena", "preference", 0, None),
        ("CMI-Pref", "alignment", 0, None),
        ("CMI-Pref", "musicality", 1, 1.0),
    ]
    told = {
        (line["task"], line["group_key"], line["group_value"]): (line["n"], line["ACC"])
        for line in detail(rows)
    }
    nothing = (0, None)
    assert told.pop(("preference", "month", "02-2025SEP")) == nothing
    assert told.pop(("musicality", "confidence", ">3")) == nothing  # a row, but no label
    whole = {("ref_subset", "no_ref"), ("modality", "text+lyrics"), ("modality_type", "vocal")}
    empty = {("ref_subset", "ref"), ("modality", "text"), ("modality_type", "instru")}
    assert told == {
        (task, *group): (1, 1.0) if task == "musicality" and group in whole else nothing
        for task in ("alignment", "musicality")
        for group in whole | empty
    }
    assert ",ref_subset,ref,0,," in csv_table(detail(rows), DETAIL)


def test_intervals_count_prompts_and_not_rows():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(40), 25)
    alone = estimate_mean(values, list(range(1000)))
    together = estimate_mean(values, [row // 25 for row in range(1000)])
    assert together.prompts == 40
    assert together.value == alone.value
    assert together.high - together.low > 4 * (alone.high - alone.low)
    (general,) = estimate_each(
        lambda drawn: [float(drawn[:, 0].mean())], values[:, None], [row // 25 for row in range(1000)]
    )
    assert (general.low, general.high) == pytest.approx((together.low, together.high))
    assert math.isnan(estimate_mean(values, [row % 9 for row in range(1000)]).low)
    assert math.isnan(estimate_mean([1.0] * 1000, list(range(1000))).low)


def test_a_bound_that_rounding_keeps_from_zero_is_zero():
    differences = np.linspace(0.0, 1e-3, 1000).clip(min=1e-4) - 1e-4 + 1e-19
    found = estimate_from(5e-4, differences, 1000, 100)
    assert found.low == 0.0
    assert 8e-4 < found.high < 9e-4


def test_correlations_of_all_resamples_are_those_of_each(monkeypatch):
    monkeypatch.setattr("reward.benchmark.weighted_correlations._BLOCK", 17)
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(1, 9, 60) / 2, rng.normal(size=60).round(1)], axis=1)  # with ties
    prompts = [row // 3 for row in range(60)]
    weights = resample_weights(prompts)
    found = correlations_of_resamples(values, weights)
    assert weights.shape == (RESAMPLES, 60)
    assert (weights.sum(axis=1) == 60).all()
    assert (weights[:, 0] == weights[:, 2]).all()  # of one prompt
    for number in range(0, RESAMPLES, 97):
        drawn = np.repeat(values, weights[number].astype(int), axis=0)
        for name, value in correlations(list(map(tuple, drawn))).items():
            assert found[name][number] == pytest.approx(value, abs=1e-12)
    constant = np.stack([np.full(60, 3.3), values[:, 1]], axis=1)
    assert all(np.isnan(one).all() for one in correlations_of_resamples(constant, weights).values())


def test_intervals_hold_the_truth():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        of_prompt = rng.normal(0.6, 0.2, 60)
        values = (of_prompt[:, None] + rng.normal(0, 0.2, (60, 5))).ravel()
        one = estimate_mean(values, [row // 5 for row in range(300)])
        covered += one.low <= 0.6 <= one.high
    assert covered >= 51


def other_way_round(row):
    """Return the same pair with its clips in the other order, and all that is known of them."""
    labels = {"a": "b", "model_a": "model_b", "A": "B"}
    labels |= {after: before for before, after in labels.items()}
    ends = {name: f"{name}_b" for name in ("predicted_musicality", "predicted_text-music alignment")}
    ends |= {"audio-path": "audio2"}
    ends |= {after: before for before, after in ends.items()}
    return {
        ends.get(key, key): labels.get(value, value) if "preference" in key else value
        for key, value in row.items()
    }


def test_people_who_judged_the_same_pair_are_compared():
    votes = {1: ("a", "a", "b"), 2: ("a", "both"), 3: ("b",)}
    rows = [
        {**PAIR, "audio-path": str(name), "prompt": str(name), "preference-musicality": vote}
        for name, given in votes.items()
        for vote in given
    ]
    scored = [row | {"predicted_musicality": 1.0, "predicted_musicality_b": 0.0} for row in rows]
    (found,) = [line for line in extra(scored) if (line["metric"], line["group_key"]) == ("people", "all")]
    assert (found["n"], found["value"]) == (2, pytest.approx((1 / 3 + 1 / 2) / 2))
    turned = [scored[0], *map(other_way_round, scored[1:])]
    assert [line for line in extra(turned) if line["metric"] == "people"] == [
        line for line in extra(scored) if line["metric"] == "people"
    ]
    assert not [line for line in extra(scored[-1:]) if line["metric"] == "people"]


def test_two_rated_clips_have_a_correlation():
    row = {"split": "test", "source": "PAM", "prompt": "x"}
    rows = [row | {"audio-path": str(n), "musicality": n, "predicted_musicality": -n} for n in range(2)]
    line = found(summary(rows), task="musicality")
    assert (line["SRCC"], line["LCC"], line["K-Tau"]) == pytest.approx((-1, -1, -1))


def test_what_a_row_was_made_for():
    assert prompt_of({**PAIR, "prompt id": 7}) == prompt_of({**PAIR, "prompt id": "7", "audio-path": "c"})
    assert prompt_of(PAIR) != prompt_of({**PAIR, "lyrics": "la"})
    assert prompt_of({"audio-path": "a"}) != prompt_of({"audio-path": "b"})


def test_two_scorers_are_compared_row_by_row():
    golds = ["model_a"] * 40
    first = [pair(number, gold, 1.0 if number % 4 else -1.0) for number, gold in enumerate(golds)]
    second = [pair(number, gold, -1.0 if number % 4 < 2 else 1.0) for number, gold in enumerate(golds)]
    (line,) = compare(first, list(reversed(second)))
    assert (line["n"], line["first"], line["second"], line["difference"]) == (40, 0.75, 0.5, 0.25)
    assert (line["only_first"], line["only_second"]) == (10, 0)
    assert line["mcnemar_p"] == pytest.approx(2 * 0.5**10)
    assert 0 < line["low"] < 0.25 < line["high"]
    (same,) = compare(first, first)
    assert (same["difference"], same["low"], same["high"], same["mcnemar_p"]) == (0, None, None, 1)
    with pytest.raises(InputError, match="no predicted row in common"):
        compare(first, [pair(number + 100, "model_a", 1.0) for number in range(3)])
    twice = [*first, *first]  # two people who agree
    assert compare(twice, twice[::-1])[0]["n"] == 80
    turned = [*first, *(row | {"preference-musicality": "model_b"} for row in first)]  # two who do not
    assert compare(turned, turned[::-1]) == compare(turned, turned)
    assert compare(first, [*map(other_way_round, second)]) == [line]
    assert compare(first, [row | {"preference-musicality": "A"} for row in second]) == [line]
    with pytest.raises(InputError, match="'a' and 'b'; score the same rows with both"):
        compare(first, [*map(other_way_round, turned[40:])])
    other = [first[0] | {"preference-musicality": "model_b"}, *first[1:]]
    with pytest.raises(InputError, match="people judged '0' otherwise"):
        compare(first, other)


def test_ratings_are_compared_by_rank():
    gold = {"split": "test", "source": "PAM", "prompt": "x"}
    rng = np.random.default_rng(0)
    rows = [
        {**gold, "audio-path": str(number), "prompt": str(number), "musicality": value}
        for number, value in enumerate(rng.random(80))
    ]
    first = [row | {"predicted_musicality": row["musicality"] ** 3} for row in rows]
    second = [row | {"predicted_musicality": row["musicality"] + rng.normal()} for row in rows]
    (line,) = compare(first, second)
    assert (line["metric"], line["first"]) == ("SRCC", 1.0)
    assert 0 < line["low"] < line["difference"] == pytest.approx(1 - line["second"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "elsewhere"}, "none of CMI-RewardBench"),
        ({"preference-musicality": "left"}, "must be one of"),
        ({"predicted_musicality": "loud"}, "must be a number"),
        ({"predicted_musicality": "nan"}, "must be finite"),
    ],
)
def test_rows_that_make_no_sense_are_refused(change, message, tmp_path):
    rows = [pair(0, "model_a", 1.0), pair(1, "model_a", 1.0) | change]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(map(dump_line, rows)))
    with pytest.raises(InputError, match=rf"results\.jsonl line 2: .*{message}"):
        main(Benchmark(tmp_path / "out", results=path))


def test_labels_are_those_that_the_reader_of_sets_knows():
    rows = [pair(0, "BOTH_BAD", 1.0), pair(1, "both_good", 1.0)]
    assert found(extra(rows), group_key="all", metric="ACC")["ties"] == 2


def test_the_command_writes_every_table(rows, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    unique = [row | {"audio-path": f"{row['audio-path']} {number}"} for number, row in enumerate(rows)]
    other.write_text("".join(map(dump_line, unique)))
    main(Benchmark(tmp_path / "out", results=other, against=other))
    shown = capsys.readouterr().out
    assert shown.startswith(",".join(SUMMARY))
    assert (tmp_path / "out" / "metrics_summary.csv").read_text() in shown
    names = {path.name for path in (tmp_path / "out").iterdir()}
    tables = {f"metrics_{name}.csv" for name in ("summary", "detail", "extra")}
    assert names == tables | {"metrics.json", "comparison.csv", "report.html", "run.json", "tables"}
    whole = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {one["dataset"] for one in whole["reliability"]} == {"MusicArena", "CMI-Pref"}
    assert all(0.5 <= one["sure"] <= 1 and 0 <= one["right"] <= 1 for one in whole["reliability"])
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(InputError, match="no row of the split 'test'"):
        main(Benchmark(tmp_path / "out", results=tmp_path / "none.jsonl"))
