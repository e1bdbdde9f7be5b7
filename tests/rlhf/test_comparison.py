"""The statistics of an assessment, and when a training has begun to please the reward only."""

import numpy as np
import pytest

from music.errors import InputError
from music.intervals import estimate_mean
from rlhf.assessment.comparison import (
    BASE,
    DIVERSITY,
    JUDGE,
    PROXY,
    REWARD,
    SOUND,
    Measured,
    Metric,
    compare,
    difference,
)
from rlhf.assessment.model_names import named_models
from rlhf.assessment.watching import fallen, watched
from scaling.estimators import best_of_n

PROMPTS, CLIPS = 40, 3
GOLD = Metric("gold", JUDGE, True)
METRICS = [
    Metric(REWARD, PROXY),
    GOLD,
    Metric("mulan", JUDGE, False),
    Metric("level", SOUND),
    Metric("vendi", DIVERSITY),
]


def model(name, seed=0, prompts=PROMPTS, of_all=5.0, **moved):
    """Return what is measured of a model: scores that depend on prompt and noise, and its own shift of each metric."""
    hard = (
        np.random.default_rng(0).normal(size=(prompts, 1)) * 10
    )  # from prompt to prompt: what pairing takes away
    own = np.random.default_rng([1, seed])
    metrics = {
        name: hard + own.normal(size=(prompts, CLIPS)) * 0.1 + moved.get(name, 0.0)
        for name in (REWARD, "gold", "mulan", "level")
    }
    return Measured(name, metrics, {"vendi": of_all})


def test_differences_are_paired_by_prompt():
    lines = compare([model(BASE), model("ei", 1, gold=0.3, of_all=4.0)], METRICS)
    assert [(line.model, line.metric.name) for line in lines][:2] == [(BASE, "vendi"), (BASE, REWARD)]
    of = {(line.model, line.metric.name): line for line in lines}
    gold = of["ei", "gold"]
    assert gold.difference.value == pytest.approx(0.3, abs=0.05)
    assert gold.difference.high - gold.difference.low < 0.1 < 2 < gold.value.high - gold.value.low
    before, after = model(BASE).metrics["gold"], model("ei", 1, gold=0.3).metrics["gold"]
    assert gold.difference.value == pytest.approx((after - before).mean())
    expected = estimate_mean((after - before).ravel().tolist(), np.arange(PROMPTS).repeat(CLIPS).tolist())
    assert gold.difference == expected
    assert (gold.value.prompts, gold.value.rows) == (PROMPTS, PROMPTS * CLIPS)
    assert of[BASE, "gold"].difference is None
    vendi = of["ei", "vendi"].row()
    assert (vendi["mean"], vendi["difference"], vendi["difference_low"]) == (4.0, -1.0, None)
    assert [of["ei", name].row()["independent"] for name in ("gold", "mulan", REWARD)] == ["yes", "no", ""]


def test_an_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        base, other = model(BASE, 2 * seed), model("ei", 2 * seed + 1, gold=0.05)
        found = difference(other, base, "gold")
        held += found.low <= 0.05 <= found.high
    assert 0.88 <= held / 200 <= 0.98


def test_best_of_n_is_picked_by_the_reward_and_tells_proxy_and_judges_only():
    base, other = model(BASE), model("ei", 1)
    lines = [line for line in compare([base, other], METRICS, (1, 3)) if line.best_of == 3]
    assert {line.metric.kind for line in lines} == {PROXY, JUDGE}
    found = next(line for line in lines if line.model == "ei" and line.metric == GOLD)
    picked = [best_of_n(one.metrics[REWARD], one.metrics["gold"], 3) for one in (other, base)]
    assert found.value.value == pytest.approx(picked[0].mean())
    assert found.difference.value == pytest.approx((picked[0] - picked[1]).mean())


def test_prompts_that_a_judge_cannot_score_are_left_out_on_both_sides():
    base, other = model(BASE), model("ei", 1, gold=0.3)
    other.metrics["gold"][:5] = np.nan
    base.metrics["gold"][7] = np.nan
    found = difference(other, base, "gold")
    assert (found.prompts, found.rows) == (PROMPTS - 6, (PROMPTS - 6) * CLIPS)
    assert found.value == pytest.approx(0.3, abs=0.05)
    base.metrics["gold"][:] = np.nan
    lines = compare([base, other], [GOLD])
    assert lines[0].row()["mean"] is None
    assert lines[1].difference.prompts == 0


def test_a_judge_that_falls_while_the_reward_rises_ends_the_training():
    start, good = model(BASE), model("round_0", 1, reward=0.5, gold=0.3)
    bad = model("round_1", 2, reward=1.0, gold=0.1)
    assert fallen([start, good], ["gold"]) is None
    told = fallen([start, good, bad], ["gold"])
    assert "gold of round_1 is -0." in told
    assert "against round_0, while the reward is +0.4994" in told
    assert fallen([start, bad], ["gold"]) is None  # still above the start
    assert fallen([start, good, bad], []) is None
    assert "mulan" in fallen([start, model("round_0", 1, reward=0.5, mulan=-0.3)], ["gold", "mulan"])


def test_a_fall_within_the_interval_or_without_a_rise_ends_nothing():
    start = model(BASE)
    assert fallen([start, model("round_0", 1, reward=0.5, gold=-0.005)], ["gold"]) is None
    assert fallen([start, model("round_0", 1, reward=-0.5, gold=-0.3)], ["gold"]) is None
    few = [model(BASE, prompts=5), model("round_0", 1, prompts=5, reward=0.5, gold=-0.3)]
    assert fallen(few, ["gold"]) is None  # nothing is known of so few prompts
    unknown = model("round_0", 1, reward=0.5)
    unknown.metrics["gold"][:] = np.nan
    assert fallen([start, unknown], ["gold"]) is None


def test_independent_judges_are_watched_unless_others_are_named():
    assert watched(METRICS, None) == ["gold"]
    assert watched(METRICS, "mulan, gold") == ["mulan", "gold"]
    assert watched(METRICS, "") == []
    with pytest.raises(
        InputError, match="--stop_on level: expected metrics of --judges, which are gold, mulan"
    ):
        watched(METRICS, "level")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("runs/grpo/model,runs/ei/model", ["grpo", "ei"]),
        ("runs/ei/rounds/0/model,runs/ei/rounds/1/model", ["round_0", "round_1"]),
        ("a/rounds/0/model,b/rounds/0/model", ["a-round_0", "b-round_0"]),
        ("facebook/musicgen-small, best=/x/model", ["musicgen-small", "best"]),
        ("model", ["model"]),
    ],
)
def test_models_are_called_after_what_tells_them_apart(given, names):
    assert list(named_models(given)) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "name the folders"),
        ("a=x,a=y", "y cannot be called 'a'"),
        ("base=x", "x cannot be called 'base'"),
        ("../a=x", "x cannot be called '../a'"),
        ("x/model,x/model", "cannot be called 'x'"),
    ],
)
def test_names_that_tell_nothing_apart_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        named_models(given)
