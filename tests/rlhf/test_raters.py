"""Simulated raters: they prefer the better clip more often, err as told, and do not mind the order."""

from dataclasses import replace

import numpy as np
import pytest

from music.errors import InputError
from reward.judgements import HEADS
from reward.simulated_votes import answering, utilities_of
from rlhf.asking.options import SimulatedRaters
from rlhf.asking.questions import Question
from rlhf.asking.raters import Raters

PLAIN = SimulatedRaters(rater_scale=1.0, taste=0.0, lapses=0.0, tie_threshold=0.0)
MANY = 1_500


def share_of_a(options, difference, seed=0, head="musicality"):
    """Return the share of answers that prefer a clip which is better by so many standard deviations."""
    utilities = {one: {f"p{place}": np.array([difference, 0.0]) for place in range(MANY)} for one in HEADS}
    questions = [Question(f"{place}", f"p{place}", 0, 1, False) for place in range(MANY)]
    answers = Raters(utilities, options, seed).answer(questions)
    return np.mean([answer.preferences[head] == "a" for answer in answers])


def test_the_better_clip_is_preferred_as_often_as_bradley_and_terry_say():
    for difference in (0.0, 1.0, 2.0):
        expected = 1 / (1 + np.exp(-difference))
        assert share_of_a(PLAIN, difference) == pytest.approx(expected, abs=0.035)
    assert share_of_a(replace(PLAIN, rater_scale=0.5), 1.0) == pytest.approx(0.881, abs=0.03)


def test_who_lapses_tosses_a_coin():
    assert share_of_a(replace(PLAIN, lapses=1.0), 8.0) == pytest.approx(0.5, abs=0.04)
    assert share_of_a(replace(PLAIN, lapses=0.5), 8.0) == pytest.approx(0.75, abs=0.04)


def test_small_differences_are_ties():
    utilities = {head: {"p": np.zeros(2)} for head in HEADS}
    raters = Raters(utilities, replace(PLAIN, tie_threshold=1e9), 0)
    (answer,) = raters.answer([Question("0", "p", 0, 1, False)])
    assert set(answer.preferences.values()) == {"tie"}
    assert raters.answer([Question("0", "p", 1, 0, True)])[0].preferences == answer.preferences


def test_tastes_differ_from_rater_to_rater():
    # alignment is far better, musicality equal: only who mixes the two prefers anything
    utilities = {
        "alignment": {f"p{place}": np.array([40.0, 0.0]) for place in range(300)},
        "musicality": {f"p{place}": np.zeros(2) for place in range(300)},
    }
    questions = [Question(f"{place}", f"p{place}", 0, 1, False) for place in range(300)]
    answers = Raters(utilities, replace(PLAIN, taste=2.0, rater_count=6), 0).answer(questions)
    of_raters = {}
    for answer in answers:
        of_raters.setdefault(answer.rater, []).append(answer.preferences["musicality"] == "a")
    shares = [np.mean(found) for found in of_raters.values()]
    assert len(shares) == 6
    assert min(shares) < 0.1
    assert max(shares) > 0.9


def test_an_answer_does_not_depend_on_the_order_or_on_other_questions():
    stream = np.random.default_rng(0)
    utilities = {head: {f"p{place}": stream.normal(size=3) for place in range(40)} for head in HEADS}
    raters = Raters(utilities, SimulatedRaters(tie_threshold=0.3), 5)
    forward = raters.answer([Question(f"{place}", f"p{place}", 0, 2, False) for place in range(40)])
    backward = raters.answer(
        [Question(f"x{place}", f"p{place}", 2, 0, True) for place in reversed(range(40))]
    )
    swapped = {"a": "b", "b": "a", "tie": "tie"}
    for one, other in zip(forward, reversed(backward), strict=True):
        assert one.rater == other.rater
        assert one.confidence == other.confidence
        assert one.preferences == {head: swapped[label] for head, label in other.preferences.items()}


def test_what_a_judge_says_becomes_utilities():
    metrics = ("gold_alignment", "gold_margin", "gold_musicality", "gold_musicality_spread")
    assert answering(metrics, "alignment") == ["gold_margin"]
    assert answering(metrics, "musicality") == ["gold_musicality"]
    assert answering(("clap_similarity",), "musicality") == ["clap_similarity"]
    found = utilities_of({"a_musicality": np.array([1.0, 3.0]), "alignment": np.array([5.0, 5.0])})
    assert found["musicality"].tolist() == [-1.0, 1.0]
    assert found["alignment"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rater_scale": 0.0}, "--rater_scale must be above 0, got 0.0"),
        ({"lapses": 1.5}, "--lapses is a share from 0 to 1, got 1.5"),
        ({"taste": -1.0}, "--taste must be at least 0, got -1.0"),
        ({"rater_count": 0}, "--rater_count"),
    ],
)
def test_raters_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        replace(PLAIN, **changes)
