"""Which pairs are asked about: as many as are due, none twice, and those that the idea says."""

import numpy as np
import pytest

from rlhf.asking.acquisition import ACQUISITIONS, Insight, Known, best_median, best_second, disagreement, mix
from rlhf.asking.information import most_informative

PROMPTS, N, HEADS, DIMENSIONS = 6, 5, 3, 8


def known(asked=None, seed=0):
    stream = np.random.default_rng(seed)
    features = stream.normal(size=(PROMPTS, N, DIMENSIONS))
    weights = stream.normal(size=(HEADS, DIMENSIONS, 2))
    scores = np.einsum("pnd,hdm->hpnm", features, weights)
    insight = Insight(scores.mean(axis=-1), features, scores.mean(axis=0))
    rewards = insight.rewards.mean(axis=0)
    return Known([f"p{one}" for one in range(PROMPTS)], rewards, asked or [set()] * PROMPTS, lambda: insight)


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_each_prompt_gets_what_it_is_due_and_no_pair_comes_twice(name):
    counts = [3, 0, 1, 10, 2, 4]  # 10 pairs are all
    asked = [{(0, 1), (1, 4)}, set(), {(2, 3)}, set(), {(0, 2)}, set()]
    chosen = ACQUISITIONS[name](known(asked), counts, 7)
    assert [len(pairs) for pairs in chosen] == counts
    for pairs, before in zip(chosen, asked, strict=True):
        assert len({*pairs, *before}) == len(pairs) + len(before)
        assert all(0 <= a < b < N for a, b in pairs)
    assert ACQUISITIONS[name](known(asked), counts, 7) == chosen


def test_what_is_drawn_depends_on_the_seed_and_the_prompt_alone():
    everything, part = known(), known()
    some = Known(
        [part.prompts[2]], part.rewards[[2]], [set()], lambda: pytest.fail("random needs no insight")
    )
    choose = ACQUISITIONS["random"]
    assert choose(some, [4], 7) == [choose(everything, [4] * PROMPTS, 7)[2]]
    assert choose(everything, [4] * PROMPTS, 7) != choose(everything, [4] * PROMPTS, 8)


def test_best_second_and_best_median_ask_what_they_are_called():
    rewards = np.array([[0.1, 0.9, 0.3, 0.7, 0.5]])
    one = Known(["p"], rewards, [set()], dict)
    assert best_second(one, [3], 0) == [[(1, 3), (1, 4), (1, 2)]]
    assert best_median(one, [3], 0) == [[(1, 4), (1, 2), (1, 3)]]  # 2 and 3 are equally near
    assert best_second(Known(["p"], rewards, [{(1, 3)}], dict), [1], 0) == [[(1, 4)]]
    assert best_second(Known(["p"], np.zeros((1, 3)), [set()], dict), [1], 0) == [[(0, 1)]]


def test_disagreement_asks_where_the_heads_differ():
    rewards = np.zeros((2, 1, 4))
    rewards[:, 0, 2] = [
        5.0,
        -5.0,
    ]  # the heads differ on candidate 2, and most against 3, where they differ too
    rewards[:, 0, 3] = [-1.0, 1.0]
    insight = Insight(rewards, np.zeros((1, 4, 2)), np.zeros((1, 4, 1)))
    assert disagreement(Known(["p"], rewards.mean(axis=0), [set()], lambda: insight), [1], 0) == [[(2, 3)]]


def test_half_of_a_mix_is_best_second():
    one, counts = known(), [1] * PROMPTS
    chosen, first = mix(one, counts, 3), best_second(one, counts, 3)
    assert sum(a == b for a, b in zip(chosen, first, strict=True)) >= PROMPTS // 2
    assert mix(one, [4] * PROMPTS, 3)[0][:2] == best_second(one, [2] * PROMPTS, 3)[0]


def test_information_prefers_what_is_not_known_yet():
    # candidates 0 and 1 differ in one direction, 0 and 2 in another; all is equally undecided
    features = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]] * 2)
    scores = np.zeros((2, 3, 1))
    pairs = [[(0, 1), (0, 2)]] * 2
    known_before = most_informative(features, scores, pairs, [{(0, 1)}, set()], [1, 0])
    assert known_before == [[(0, 2)], []]
    first, second = most_informative(features, scores, pairs, [set(), set()], [1, 1])
    assert {*first, *second} == {(0, 1), (0, 2)}  # what the first prompt told need not be asked of the second


def test_information_prefers_what_is_undecided():
    features = np.array([[[0.0], [1.0], [2.0]]])
    scores = np.array([[[0.0], [0.0], [9.0]]])  # 0 and 1 are equal, 2 is certain to be better
    assert most_informative(features, scores, [[(0, 1), (0, 2)]], [set()], [1]) == [[(0, 1)]]


def test_information_is_the_greedy_choice_of_the_largest_determinant():
    one, counts = known(seed=3), [2] * PROMPTS
    insight = one.insight()
    pairs = [one.open(place) for place in range(PROMPTS)]
    chosen = most_informative(insight.features, insight.scores, pairs, one.asked, counts)
    flat = [(place, pair) for place, found in enumerate(pairs) for pair in found]
    d = np.array([insight.features[p, a] - insight.features[p, b] for p, (a, b) in flat])
    d /= np.sqrt(np.mean((d**2).sum(axis=1)) / DIMENSIONS)
    leads = np.array([insight.scores[p, a] - insight.scores[p, b] for p, (a, b) in flat])
    sure = 1 / (1 + np.exp(-leads))
    fisher = (sure * (1 - sure))[:, :, None, None] * (d[:, :, None] * d[:, None, :])[:, None]
    total, left, expected = np.stack([np.eye(DIMENSIONS)] * 2), list(counts), [[] for _ in counts]
    while any(left):
        gain = {
            number: np.linalg.slogdet(total + fisher[number])[1].sum()
            for number, (place, pair) in enumerate(flat)
            if left[place] and pair not in expected[place]
        }
        best = max(gain, key=gain.__getitem__)
        place, pair = flat[best]
        expected[place].append(pair)
        left[place] -= 1
        total = total + fisher[best]
    assert chosen == expected
