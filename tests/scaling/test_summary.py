"""The numbers of summary.json."""

import numpy as np
import pytest

from music.errors import InputError
from music.intervals import FEWEST
from scaling.estimators import best_of_n
from scaling.summary import measured_numbers, steps, summarise


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (10, [1, 2, 3, 5, 10]), (12, [1, 2, 3, 5, 10, 12])],
)
def test_steps(n, expected):
    assert steps(n) == expected


def test_every_n_is_measured_up_to_100():
    assert measured_numbers(1) == [1]
    assert measured_numbers(100) == list(range(1, 101))
    assert measured_numbers(320) == [*range(1, 101), 150, 200, 300, 320]


def test_schema_and_numbers():
    generator = np.random.default_rng(0)
    rewards = generator.standard_normal((24, 10))
    gold = 0.5 * rewards + generator.standard_normal((24, 10))
    summary = summarise(rewards, {"gold": gold}, seed=0)
    assert list(summary) == ["by_n", "gain", "captured", "reached", "ties"]
    assert list(summary["by_n"]) == [str(n) for n in range(1, 11)]
    for entry in summary["by_n"].values():
        assert list(entry) == ["reward", "gold"]
        for value in entry.values():
            assert list(value) == ["mean", "ci95", "gain"]
            low, high = value["ci95"]
            assert low < value["mean"] < high
    for n in range(1, 11):
        expected = best_of_n(rewards, gold, n).mean()
        assert summary["by_n"][str(n)]["gold"]["mean"] == pytest.approx(expected)
    difference = summary["by_n"]["10"]["gold"]["mean"] - summary["by_n"]["1"]["gold"]["mean"]
    assert summary["gain"]["gold"]["mean"] == pytest.approx(difference)
    assert summary["by_n"]["1"]["gold"]["gain"] == {"mean": 0.0, "ci95": [0.0, 0.0]}
    assert {name: entry["gain"] for name, entry in summary["by_n"]["10"].items()} == summary["gain"]
    assert summary["ties"] == 0


def test_the_gain_is_paired_over_prompts():
    prompts = np.arange(20.0)[:, None] * 100  # prompts differ far more than candidates
    rewards = prompts + np.random.default_rng(1).standard_normal((20, 5))
    summary = summarise(rewards, {}, seed=0)
    low, high = summary["gain"]["reward"]["ci95"]
    assert high - low < 1
    low, high = summary["by_n"]["3"]["reward"]["gain"]["ci95"]
    assert high - low < 1
    low, high = summary["by_n"]["5"]["reward"]["ci95"]
    assert high - low > 300


def test_captured_is_the_share_of_what_the_metric_itself_would_gain():
    generator = np.random.default_rng(2)
    rewards = generator.standard_normal((200, 10))
    metrics = {"same": 3 * rewards + 1, "other": generator.standard_normal((200, 10)), "opposite": -rewards}
    metrics["half"] = rewards + generator.standard_normal((200, 10))
    captured = summarise(rewards, metrics, seed=0)["captured"]
    assert captured["reward"] == {"share": 1.0, "ci95": [1.0, 1.0]}
    assert captured["same"]["share"] == pytest.approx(1)
    low, high = captured["other"]["ci95"]
    assert low < 0 < high
    # the best of -r is the worst of r, and normal values are symmetric
    assert captured["opposite"]["share"] == pytest.approx(-1, abs=0.1)
    # correlation of reward and metric, here sqrt(1/2)
    assert captured["half"]["share"] == pytest.approx(0.71, abs=0.08)
    assert captured["half"]["ci95"][0] < captured["half"]["share"] < captured["half"]["ci95"][1]


def test_reached_is_the_share_of_what_a_second_judge_of_the_same_thing_gains():
    generator = np.random.default_rng(3)
    truth = generator.standard_normal((300, 10))
    ears = {name: truth + generator.standard_normal((300, 10)) for name in ("one", "other")}
    twins = {"one": "other", "other": "one", "absent": "one"}
    summary = summarise(truth, ears, seed=0, twins=twins)
    assert summary["reached"].keys() == {"one", "other"}
    # the truth correlates sqrt(1/2) with what either hears, they with each other 1/2
    for name in ears:
        assert summary["captured"][name]["share"] == pytest.approx(0.71, abs=0.06)
        assert summary["reached"][name]["share"] == pytest.approx(1.41, abs=0.15)
        low, high = summary["reached"][name]["ci95"]
        assert low < summary["reached"][name]["share"] < high
    assert summarise(truth, ears, seed=0)["reached"] == {}
    assert summary["captured"] == summarise(truth, ears, seed=0)["captured"]


def test_nothing_to_gain_has_no_share():
    summary = summarise(np.random.default_rng(0).random((5, 3)), {"flat": np.ones((5, 3))}, seed=0)
    assert summary["captured"]["flat"] is None


def test_one_candidate_gains_nothing():
    summary = summarise(np.array([[1.0], [3.0]] * 5), {}, seed=0)
    assert summary["by_n"]["1"]["reward"]["mean"] == 2.0
    assert summary["gain"]["reward"] == {"mean": 0.0, "ci95": [0.0, 0.0]}


def test_unusable_metrics_are_refused():
    with pytest.raises(InputError, match="'gold' holds values that are not finite"):
        summarise(np.zeros((2, 2)), {"gold": np.array([[0, np.nan], [0, 0]])}, seed=0)
    with pytest.raises(InputError, match="cannot be called 'reward'"):
        summarise(np.zeros((2, 2)), {"reward": np.zeros((2, 2))}, seed=0)


@pytest.mark.parametrize("prompts", [1, 2, FEWEST - 1, FEWEST])
def test_few_prompts_have_no_interval(prompts):
    rewards = np.random.default_rng(2).standard_normal((prompts, 4))
    summary = summarise(rewards, {"other": rewards**3}, seed=0)
    found = [summary["gain"]["reward"], summary["by_n"]["2"]["other"], summary["captured"]["other"]]
    assert [entry["ci95"] is not None for entry in found] == [prompts >= FEWEST] * 3
