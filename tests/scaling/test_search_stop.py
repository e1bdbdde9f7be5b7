"""Drawing until it is not worth it: the rule, and that what is told of a pool is what is done."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from music.errors import InputError
from music.pool import Pool
from scaling.estimators import best_of_n as best_of_n_estimate
from scaling.methods.stop import Stop, expected_improvements, spread_between, spread_within
from scaling.search import main
from tests.music.folder_state import contents
from tests.scaling.searches import chosen, drawn, summary_of

pytestmark = pytest.mark.usefixtures("no_page")


def test_stopping_draws_what_best_of_n_would_draw_and_no_more(config, whole):
    main(replace(config, method="stop", cost=0.3))
    pool = Pool(config.output / "pool")
    there = {candidate.key: candidate for candidate in Pool(whole / "pool")}
    assert all(candidate == there[candidate.key] for candidate in pool)
    counts = drawn(config.output)
    assert sum(counts.values()) == len(pool)
    assert max(counts.values()) <= 6
    assert min(counts.values()) >= 3
    summary = summary_of(config.output)
    assert summary["compute"]["clips_per_prompt"] == pytest.approx(len(pool) / 3)
    assert summary["gain"]["reward"]["mean"] >= 0


@pytest.mark.parametrize("rule", [{"cost": 0.3}, {"budget": 3.0}])
def test_what_is_told_of_a_pool_is_what_is_done(config, whole, rule):
    main(replace(config, method="stop", **rule))
    told = replace(
        config, method="stop", from_pool=whole / "pool", output=config.output.parent / "told", **rule
    )
    before = contents(whole)
    main(told)
    assert contents(whole) == before
    assert drawn(told.output) == drawn(config.output)
    assert chosen(told.output) == chosen(config.output)
    assert summary_of(told.output)["chosen"] == summary_of(config.output)["chosen"]
    again = replace(told, from_pool=config.output / "pool", output=config.output.parent / "again")
    main(again)
    assert drawn(again.output) == drawn(config.output)
    if "budget" in rule:
        assert len(Pool(config.output / "pool")) == 9


def test_a_pool_that_ends_too_soon_is_named(config, whole):
    with pytest.raises(InputError, match=r"has 6 candidates for prompt '.+', and --method stop would draw"):
        main(replace(config, method="stop", n=9, cost=0.0, from_pool=whole / "pool"))


def test_draws_go_to_the_prompts_that_gain_most():
    rewards = {"flat": [0.0, 0.001, 0.0], "wide": [0.0, 1.0, -1.0], "lucky": [0.0, 5.0, 0.1]}
    gains = expected_improvements(rewards)
    assert gains["lucky"] < gains["wide"]
    assert Stop(10, 0.0, 4.0).next_draws(rewards) == [max(gains, key=gains.__getitem__)]
    assert Stop(3, 0.0).next_draws(rewards) == []
    assert Stop(10, 1e9).next_draws(rewards) == []
    assert Stop(10, 0.0, 3.0).next_draws(rewards) == []  # the budget is spent


def test_what_costs_nothing_is_drawn_to_the_end():
    rewards = Stop(5, 0.0).draw(["a", "b"], lambda keys: [index * len(name) for name, index in keys])
    assert rewards == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}


def test_the_expected_improvement_is_that_of_a_sample():
    generator = np.random.default_rng(0)
    rewards = {"a": [0.3, -0.2, 1.1], "b": [5.0, 5.4, 4.4]}
    spread = spread_within(rewards)
    assert spread == pytest.approx(np.sqrt(np.mean([np.var(one, ddof=1) for one in rewards.values()])))
    between = spread_between(rewards, spread)
    means = {name: np.mean(found) for name, found in rewards.items()}
    assert between == pytest.approx(np.sqrt(np.var(list(means.values()), ddof=1) - spread**2 / 3))
    variance = (8 * spread**2 + np.sum((np.array(rewards["a"]) - means["a"]) ** 2)) / 10
    weight = 3 / (3 + variance / between**2)
    mean = weight * means["a"] + (1 - weight) * np.mean(list(means.values()))
    draws = mean + np.sqrt(variance + weight * variance / 3) * generator.standard_t(10, 1_000_000)
    expected = np.maximum(0, draws - 1.1).mean()
    assert expected_improvements(rewards)["a"] == pytest.approx(expected, rel=0.02)
    assert expected_improvements({"a": [1.0, 1.0]}) == {"a": 0.0}
    assert spread_between({"a": [1.0, 1.0]}, 0.0) == 0


def drawn_from(table, keys):
    return [table[name][index] for name, index in keys]


def test_a_normal_reward_is_drawn_for_until_its_cost():
    """Drawing is worth it: best of n needs more clips for the same reward."""
    generator = np.random.default_rng(0)
    counts, needed = {}, {}
    for cost in (0.4, 0.1):
        table = {str(row): generator.standard_normal(60).tolist() for row in range(100)}
        rewards = Stop(60, cost).draw(list(table), partial(drawn_from, table))
        counts[cost] = np.mean([len(found) for found in rewards.values()])
        values = np.array(list(table.values()))
        means = [best_of_n_estimate(values, values, n).mean() for n in range(1, 61)]
        reached = np.mean([max(found) for found in rewards.values()])
        needed[cost] = np.interp(reached, means, range(1, 61))
    assert counts[0.4] < 5 < counts[0.1] < 0.9 * needed[0.1]
