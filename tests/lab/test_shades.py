"""Pairs of clips that were asked for the same facts: what probes hear says which has more of these."""

import numpy as np
import pytest

from experiments.lab.judgements.matched import Known
from experiments.lab.judgements.shades import Shades
from experiments.lab.training.generated import NAMED
from experiments.lab.world.corpus import stream
from experiments.lab.world.facts import draw_facts

COUNT = 300


@pytest.fixture(scope="module")
def drawn():
    """Return clips by their file, the log odds of what was asked for, and pairs."""
    rng = np.random.default_rng(0)
    odds, severity = rng.normal(scale=3, size=(COUNT, len(NAMED))), rng.random(COUNT)
    facts = [draw_facts(stream("shades", index), vocals=False) for index in range(COUNT)]
    clips = [Known(f"{index}.flac", one, NAMED, float(severity[index])) for index, one in enumerate(facts)]
    shades = Shades(clips, odds)
    return clips, odds, shades, [shades.pair("train", index) for index in range(150)]


def sides(row):
    return [int(row[f"audio_{side}"].removesuffix(".flac")) for side in "ab"]


def test_each_answer_is_what_the_probes_hear(drawn):
    clips, odds, _, rows = drawn
    told = 0
    for row in rows:
        a, b = sides(row)
        assert a != b
        assert row["preference_alignment"] or row["preference_musicality"]
        if row["preference_musicality"]:
            less_damaged = "a" if clips[a].severity < clips[b].severity else "b"
            assert row["preference_musicality"] == less_damaged
        shared = [
            place
            for place, name in enumerate(NAMED)
            if getattr(clips[a].facts, name) == getattr(clips[b].facts, name)
        ]
        assert 0 in shared  # the instrument, which every caption names
        more = odds[a, shared] > odds[b, shared]
        if row["preference_alignment"] and len({*more}) == 1:  # whichever of them the caption names
            assert row["preference_alignment"] == ("a" if more[0] else "b")
            told += 1
    assert told > 5


def test_a_third_of_the_pairs_at_least_has_no_answer_to_one_question(drawn):
    """Those nearer than the median, of which pairs without any answer are not drawn at all."""
    rows = drawn[3]
    for name in ("preference_alignment", "preference_musicality"):
        assert 0.2 < np.mean([row[name] == "" for row in rows]) < 0.45


def test_a_row_is_the_same_every_time(drawn):
    shades = drawn[2]
    assert shades.pair("train", 7) == shades.pair("train", 7) != shades.pair("train", 8)
