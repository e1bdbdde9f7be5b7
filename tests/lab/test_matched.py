"""Pairs of clips whose facts are known: the caption fits one and errs about the other, in what the row says."""

import pytest

from experiments.lab.judgements.matched import Known, Matching
from experiments.lab.training.generated import NAMED, TRUSTED
from experiments.lab.world.corpus import stream
from experiments.lab.world.facts import draw_facts


def clips(names: tuple[str, ...], count: int = 400, **more: float) -> dict[str, Known]:
    """Return clips by their file."""
    drawn = {f"{index}.flac": draw_facts(stream("matched", index), vocals=False) for index in range(count)}
    return {file: Known(file, facts, names, **more) for file, facts in drawn.items()}


@pytest.mark.parametrize("names", [NAMED, TRUSTED])
def test_the_right_clip_has_all_that_the_caption_names_and_the_other_misses_what_is_changed(names):
    known = clips(names)
    matching = Matching("some", [*known.values()])
    rows = [matching.pair("train", index) for index in range(200)]
    for row in rows:
        side = row["preference_alignment"]
        right = known[row[f"audio_{side}"]].facts
        wrong = known[row["audio_b" if side == "a" else "audio_a"]].facts
        changed = row["facts"]["changed"]
        assert 1 <= len(changed) <= 2
        assert {*changed} <= {*names}
        assert all(getattr(right, name) != getattr(wrong, name) for name in changed)
        assert right.instrument != wrong.instrument or "instrument" not in changed
        assert row["preference_musicality"] == ""  # nobody knows of any damage
    assert {name for row in rows for name in row["facts"]["changed"]} == {*names}
    sides = [row["preference_alignment"] for row in rows]
    assert 70 < sides.count("a") < 130
    captions = {row["text"] for row in rows}
    assert len(captions) > 190


def test_the_less_damaged_is_the_more_musical_where_they_are_apart():
    known = [
        Known(f"{index}", one.facts, NAMED, index % 2 / 2) for index, one in enumerate(clips(NAMED).values())
    ]
    matching = Matching("some", known)
    rows = [matching.pair("train", index) for index in range(60)]
    for row in rows:
        a, b = (int(row[f"audio_{side}"]) % 2 for side in "ab")
        assert row["preference_musicality"] == ("" if a == b else "ab"[a])
    assert {row["preference_musicality"] for row in rows} == {"", "a", "b"}


def test_a_row_is_the_same_every_time():
    matching = Matching("some", [*clips(NAMED).values()])
    assert matching.pair("train", 7) == matching.pair("train", 7) != matching.pair("train", 8)
