"""Schedules of pruning: how they are read, what they cost, and how many prompts fill their batches."""

import pytest

from music.errors import InputError
from scaling.methods.halving import Stage, parse_schedule
from scaling.methods.prune import Prune
from scaling.searching.compute import Course, Prices
from scaling.searching.prompts import side_by_side


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no share"),
        ("0.5", "expected SHARE=SHARE"),
        ("0.5=two", "expected SHARE=SHARE"),
        ("1=0.5", "lie between 0 and 1"),
        ("0.5=0", "is above 0"),
        ("0.5=nan", "is above 0"),
        ("0.5=0.5,0.25=0.5", "'0.25=0.5' must come after 0.5"),
    ],
)
def test_what_is_no_schedule_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_schedule(text)


def test_the_work_is_known_ahead():
    course = Course(steps=10, whole_previews=False)
    method = Prune(8, (Stage(0.25, 0.5), Stage(0.5, 0.25)))
    work = method.work(course)
    assert method.finishes == 1
    assert work.generation == pytest.approx(8 * 0.3 + 4 * 0.2 + 1 * 0.5)
    assert work.scoring == pytest.approx(8 * 0.3 + 4 * 0.5 + 1)
    assert Prices(0.5, 0.25, 0.25, "").clips(work) == pytest.approx(
        0.5 * work.generation + 0.5 * work.scoring
    )
    assert method.work(Course(10, True)).decoding == 13


def test_so_many_prompts_are_searched_at_once_that_batches_are_full():
    assert Prune(10, (Stage(0.25, 0.5), Stage(0.5, 0.5))).widths == [(10, 0.25), (5, 0.25), (3, 0.5)]
    assert side_by_side([(16, 1.0)], 16) == 1
    assert side_by_side([(4, 1.0)], 16) == 4
    assert side_by_side([(8, 0.5), (4, 0.5)], 16) == 4
    assert side_by_side([(10, 0.25), (5, 0.25), (3, 0.5)], 16) == 9  # 6, 3 and 2 batches
