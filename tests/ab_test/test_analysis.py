"""The analysis: screening, rates, strengths, agreement, and that it finds the preference that the raters have."""

import csv
import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as t_distribution

from experiments.ab_test import plan
from experiments.ab_test.analysis import analyze
from experiments.ab_test.analysis.agreement import _alpha, agreement, strata
from experiments.ab_test.analysis.screening import Limits, screen
from experiments.ab_test.analysis.votes import ANSWERS, Vote, counted, headphones_of, read_rows, votes_of
from experiments.ab_test.analysis.wins import holm, strengths, win_rates
from experiments.ab_test.plan import Plan, power_of, votes_needed
from experiments.ab_test.study import HEADS, load_study
from music.errors import InputError
from music.jsonl import dump_line
from tests.ab_test.simulated_answers import ONE, THREE, TWO, answer_rows

SYSTEMS = [ONE, TWO, THREE]
TRUTH = {ONE: 1.2, TWO: 0.4, THREE: -0.2}


@pytest.fixture(scope="module")
def study_and_key(three_systems):
    return load_study(three_systems)


@pytest.fixture
def votes_from(study_and_key):
    study, key = study_and_key

    def make(**options):
        rows = answer_rows(study, key, **{"strengths": TRUTH, "raters": 24, **options})
        return votes_of(rows, study, key), headphones_of(rows, study)

    return make


def vote(label, rater="r", first=ONE, second=TWO, trial="t", confidence=3, prompt="p"):
    both = dict.fromkeys(HEADS, label)
    sure = dict.fromkeys(HEADS, confidence)
    return Vote(rater, 0, trial, "pair", prompt, False, first, second, False, both, sure, 10.0, "")


def test_votes_are_about_systems_whichever_side_they_were_on(study_and_key):
    study, key = study_and_key
    rows = answer_rows(study, key, {ONE: 40.0, TWO: 0.0, THREE: -40.0}, raters=2)
    for one in counted(votes_of(rows, study, key)):
        better = min((one.first, one.second), key=SYSTEMS.index)
        for head in HEADS:
            assert (one.first if one.preferred[head] == "first" else one.second) == better
            assert one.side(head) == ("a" if (one.first == better) != one.swapped else "b")


def test_the_analysis_finds_what_the_raters_prefer(votes_from):
    """Each true rate and strength lies in its interval in nearly all of ten studies, as 95 % promise."""
    inside = {"wilson": [], "raters": [], "strength": []}
    for seed in range(10):
        votes = counted(votes_from(seed=seed)[0])
        for line in win_rates(votes, SYSTEMS, "musicality", seed):
            truth = 1 / (1 + math.exp(TRUTH[line.second] - TRUTH[line.first]))
            inside["wilson"].append(line.low <= truth <= line.high)
            inside["raters"].append(line.rater_low <= truth <= line.rater_high)
            assert line.wins + line.ties + line.losses == 12 * 24
        middle = sum(TRUTH.values()) / 3
        for system, one in strengths(votes, SYSTEMS, "alignment", seed).items():
            inside["strength"].append(one.low <= TRUTH[system] - middle <= one.high)
    for found in inside.values():
        assert np.mean(found) > 0.85


def test_rates_ties_and_the_exact_test():
    votes = [vote("first", f"r{number}") for number in range(8)] + [vote("second", "x"), vote("second", "y")]
    votes += [vote("tie", "z"), vote("tie", "w")]
    swapped = [
        replace(one, first=one.second, second=one.first,
                preferred={head: {"first": "second", "second": "first", "tie": "tie"}[label]
                           for head, label in one.preferred.items()})
        for one in votes
    ]  # fmt: skip
    for told in (votes, swapped, votes[:6] + swapped[6:]):
        (line,) = win_rates(told, [ONE, TWO], "musicality", 0)
        assert (line.wins, line.ties, line.losses) == (8, 2, 2)
        assert line.rate == 9 / 12
        assert line.p == pytest.approx(56 / 1024)  # (45 + 10 + 1) / 2^10
        assert line.low < 0.75 < line.high
    (line,) = win_rates(votes, [TWO, ONE], "musicality", 0)
    assert (line.first, line.rate) == (TWO, 3 / 12)
    assert line.p == pytest.approx(1013 / 1024)
    (line,) = win_rates(votes[:5], [ONE, TWO], "musicality", 0)
    assert math.isnan(line.rater_low)  # five raters say little
    assert win_rates([vote("tie")], [ONE, TWO], "musicality", 0)[0].p == 1.0


def test_probabilities_are_adjusted_for_looking_often():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_careless_raters_are_left_out(votes_from):
    votes, headphones = votes_from(careless=6, side="b", strengths=TRUTH)
    records = {one.rater: one for one in screen(votes, headphones, Limits(catch=0.75, seconds=5.0))}
    out = [int(name, 16) for name, one in records.items() if one.reasons]
    assert out == list(range(6))
    assert "chose A in 0 of" in records[f"{0:016x}"].reasons[-1]
    assert records[f"{9:016x}"].catch == 1.0
    assert records[f"{9:016x}"].headphones == 3
    assert 0.3 < np.mean([one.repeat for one in records.values()]) < 1.0


def test_every_reason_is_told(votes_from):
    votes, headphones = votes_from(seconds=1.0, raters=1)
    limits = Limits(catch=0.0, repeat=1.01, seconds=5.0, side=0.0, headphones=4)
    (record,) = screen(votes, headphones, limits)
    assert [reason.split()[0] for reason in record.reasons] == ["gave", "took", "heard"]
    (record,) = screen(votes, dict.fromkeys(headphones), replace(limits, repeat=0, seconds=0, headphones=1))
    assert record.reasons == ("did not do the headphone check",)


def test_repeats_and_checks_do_not_count(votes_from):
    votes, _ = votes_from(raters=2)
    assert len(counted(votes)) == 2 * 36
    assert sum(one.repeat for one in votes) == 2 * 3
    assert {one.kind for one in votes if one.kind != "pair"} == {"catch", "identical"}


def test_alpha_is_krippendorffs():
    """Four observers of twelve units: the worked example of Krippendorff (2011), nominal, 0.743."""
    answers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0], [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0], [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]  # fmt: skip
    table = np.array(
        [[column.count(label) for label in range(1, 6)] for column in map(list, zip(*answers, strict=True))]
    )
    assert _alpha(table.astype(float)) == pytest.approx(0.743, abs=5e-4)
    assert math.isnan(_alpha(np.array([[3.0, 0, 0], [2.0, 0, 0]])))


def test_agreement_is_over_pairs_of_votes_on_a_trial():
    votes = [vote("first", "a"), vote("first", "b"), vote("second", "c"), vote("first", "d", trial="other")]
    found = agreement(votes, "musicality", 0)
    assert found.trials == 1
    assert found.rate.value == pytest.approx(1 / 3)
    assert agreement(votes[2:], "musicality", 0) is None


def test_sure_raters_agree_more(votes_from):
    votes = counted(votes_from(strengths={ONE: 2.0, TWO: 0.0, THREE: -2.0})[0])
    low, middle, high = strata(votes, "musicality", 0)
    assert low.votes + middle.votes + high.votes == len(votes)
    assert low.agreement.value < middle.agreement.value < high.agreement.value
    assert low.ties > 0 == high.ties


def test_nobody_agrees_where_nobody_hears_anything(votes_from):
    found = agreement(counted(votes_from(strengths=dict.fromkeys(SYSTEMS, 0.0))[0]), "alignment", 0)
    assert found.alpha.low < 0.02
    assert abs(found.alpha.value) < 0.05


@pytest.fixture
def answered(three_systems, study_and_key, tmp_path):
    study, key = study_and_key
    rows = answer_rows(study, key, TRUTH, 24, careless=2, side="a")
    rows[-1]["comment"] = "<script>alert(1)</script> =SUM(1)"
    path = tmp_path / ANSWERS
    path.write_text("".join(map(dump_line, rows)))
    return path


def test_tables_figures_and_page(three_systems, answered, tmp_path, capsys):
    options = analyze.Analyze(three_systems, tmp_path / "out", answers=answered, scorers="loudness,constant")
    analyze.main(options)
    told = capsys.readouterr().out
    assert "792 votes of 22 raters on 12 prompts (2 raters left out)" in told
    out = tmp_path / "out"
    wins = list(csv.DictReader((out / "wins.csv").open()))
    assert [(row["head"], row["first"], row["second"]) for row in wins[:3]] == [
        ("alignment", ONE, TWO), ("alignment", ONE, THREE), ("alignment", TWO, THREE)
    ]  # fmt: skip
    assert all(int(row["wins"]) + int(row["ties"]) + int(row["losses"]) == 264 for row in wins)
    constant = [row for row in csv.DictReader((out / "scorers.csv").open()) if row["scorer"] == "constant"]
    assert {row["value"] for row in constant} == {"0.5"}  # a constant sides with nobody
    assert len(list(csv.DictReader((out / "raters.csv").open()))) == 24
    for head in HEADS:
        assert (out / f"wins_{head}.tex").read_text().count(r"\\") == 4
    for name in ("wins", "strengths"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}
    analyze.main(options)
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda row: row.update(study="0" * 16), "belongs to study 0000"),
        (lambda row: row.update(place=10**6), "is not about the trial"),
        (lambda row: row.update(swapped=not row["swapped"]), "is not about the trial"),
        (lambda row: row["musicality"].update(choice="x"), "line 1: field musicality.choice"),
        (lambda row: row.pop("shown_at"), "line 1: field shown_at"),
        (lambda row: row.update(position=1), "has another answer to turn 1 already"),
    ],
)
def test_answers_that_were_changed_are_refused(three_systems, answered, change, expected):
    rows = [json.loads(line) for line in answered.read_text().splitlines()]
    change(rows[0])
    answered.write_text("".join(map(dump_line, rows)))
    with pytest.raises(InputError, match=expected):
        analyze.main(analyze.Analyze(three_systems, answers=answered))


def test_nobody_who_can_be_believed_is_told_in_a_line(three_systems, answered):
    with pytest.raises(InputError, match=r"no vote on a pair .* took 20\.0 s"):
        analyze.main(analyze.Analyze(three_systems, answers=answered, screening=Limits(seconds=60.0)))
    with pytest.raises(InputError, match="export --to answers"):
        analyze.main(analyze.Analyze(three_systems, answers=answered.with_name("nothing.jsonl")))


def test_files_of_several_raters_are_read_together(answered, tmp_path):
    rows = answered.read_text().splitlines(keepends=True)
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "one.jsonl").write_text("".join(rows[:50]))
    (folder / "two.jsonl").write_text("".join(rows[40:]))  # the same answer twice counts once
    assert read_rows(folder) == read_rows(answered)


def test_a_planned_study_has_the_power_it_was_planned_for():
    """By simulation: wins of a share of 0.62 among so many votes, tested as `analyze` does."""
    from scipy.stats import binomtest

    votes = votes_needed(0.62, 0.05, 0.8)
    stream = random.Random(0)
    p = [binomtest(sum(stream.random() < 0.62 for _ in range(votes)), votes, alternative="greater").pvalue
         for _ in range(2000)]  # fmt: skip
    (expected,) = power_of(np.array([votes]), 0.62, 0.05)
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(expected, abs=0.03)
    powers = power_of(np.arange(votes, 4 * votes), 0.62, 0.05)
    assert powers.min() >= 0.8
    assert power_of(np.array([votes - 1]), 0.62, 0.05)[0] < 0.8


def test_a_plan_for_votes_that_are_alike_has_its_power(capsys):
    """By simulation: raters differ (beta-binomial, the correlation between votes of one is 0.1), and are resampled."""
    plan.main(Plan(win_rate=0.65, tie_share=0.0, votes_per_rater=10, correlation=0.1))
    raters = json.loads(capsys.readouterr().out)["raters"]
    stream = np.random.default_rng(0)
    both = 1 / 0.1 - 1  # parameters of a beta distribution with this correlation sum to it

    def found(share):
        own = stream.beta(share * both, (1 - share) * both, size=(4000, raters))
        means = stream.binomial(10, own) / 10
        errors = means.std(axis=1, ddof=1) / math.sqrt(raters)
        return np.mean(means.mean(axis=1) - 0.5 > t_distribution.isf(0.05, raters - 1) * errors)

    assert 0.78 <= found(0.65) <= 0.9
    assert 0.03 <= found(0.5) <= 0.07


def test_a_plan_asks_for_more_where_there_is_less_to_hear(capsys):
    def raters(**options):
        plan.main(Plan(**{"win_rate": 0.6, **options}))
        return json.loads(capsys.readouterr().out)["raters"]

    usual = raters()
    assert raters(win_rate=0.55) > 3 * usual
    assert raters(tie_share=0.4) > 0
    assert raters(power=0.95) > usual
    assert raters(comparisons=6) > usual
    assert raters(correlation=0.2) > usual > raters(correlation=0.0)
    assert raters(votes_per_rater=20) < usual


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"win_rate": 0.5}, "--win_rate must lie above 0.5"),
        ({"win_rate": 0.99, "tie_share": 0.3}, "be at most 0.85"),
        ({"power": 1.0}, "--power must lie between 0 and 1"),
        ({"correlation": 1.0}, r"--correlation must lie in \[0, 1\)"),
        ({"votes_per_rater": 0}, "--votes_per_rater must be at least 1"),
    ],
)
def test_what_cannot_be_planned(options, expected):
    with pytest.raises(InputError, match=expected):
        Plan(**{"win_rate": 0.6, **options})
