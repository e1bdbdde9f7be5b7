"""The design: balanced pairs, balanced blocks, Latin squares, exchanged sides, trials that check raters."""

import random
from collections import Counter
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.ab_test.building.design import (
    Checks,
    choose_pairs,
    latin_row,
    pairings,
    schedules,
    split_blocks,
)

NONE = Checks([], [], 0, 0, 0)


@pytest.mark.parametrize("systems", range(2, 10))
def test_pairings_are_rounds_of_a_tournament(systems):
    found = pairings(systems)
    assert sorted(found) == list(combinations(range(systems), 2))
    size = systems // 2
    for start in range(0, len(found), size):
        names = [name for pair in found[start : start + size] for name in pair]
        assert len(names) == len(set(names))


def test_the_design_of_the_paper_has_300_pairs():
    pairs = choose_pairs(50, 4, None, random.Random(0))
    assert len(pairs) == len(set((one.prompt, frozenset((one.first, one.second))) for one in pairs)) == 300


@given(
    prompts=st.integers(1, 40),
    systems=st.integers(2, 7),
    per_prompt=st.integers(1, 30),
    most=st.integers(1, 50),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_an_incomplete_design_is_balanced(prompts, systems, per_prompt, most, seed):
    pairs = choose_pairs(prompts, systems, per_prompt, random.Random(seed))
    kinds = Counter(frozenset((one.first, one.second)) for one in pairs)
    counts = [kinds[frozenset(kind)] for kind in combinations(range(systems), 2)]
    assert max(counts) - min(counts) <= 1
    assert set(Counter(one.prompt for one in pairs).values()) == {
        min(per_prompt, systems * (systems - 1) // 2)
    }
    blocks = split_blocks(pairs, most)
    assert sorted(place for block in blocks for place in block) == list(range(len(pairs)))
    assert max(map(len, blocks)) <= most
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    for kind in kinds:
        heard = [sum({pairs[p].first, pairs[p].second} == kind for p in block) for block in blocks]
        assert max(heard) - min(heard) <= 1


@pytest.mark.parametrize("size", [1, 2, 4, 6, 12])
def test_an_even_square_balances_places_and_neighbours(size):
    rows = [latin_row(size, row) for row in range(size)]
    assert all(sorted(column) == list(range(size)) for column in (*rows, *zip(*rows, strict=True)))
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(follows.values()) <= {1}
    assert len(follows) == size * (size - 1)


@pytest.mark.parametrize("size", [3, 5, 9])
def test_an_odd_square_needs_twice_as_many_rows(size):
    rows = [latin_row(size, row) for row in range(2 * size)]
    assert all(sorted(row) == list(range(size)) for row in rows)
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert set(follows.values()) == {2}


@pytest.mark.parametrize(("trials", "raters", "blocks"), [(6, 12, 1), (7, 28, 2), (12, 36, 3)])
def test_places_and_sides_are_counterbalanced(trials, raters, blocks):
    named = [[f"{block}-{trial}" for trial in range(trials)] for block in range(blocks)]
    found = schedules(named, raters, NONE, random.Random(3))
    for block in range(blocks):
        heard = found[block::blocks]
        assert all(sorted(trial for trial, _ in turns) == sorted(named[block]) for turns in heard)
        sides = Counter(turn for turns in heard for turn in turns)
        assert set(sides.values()) == {len(heard) // 2}
        for turns in heard:  # within a rater, too
            assert abs(sum(swapped for _, swapped in turns) - trials / 2) <= 0.5
        places = Counter((trial, place) for turns in heard for place, (trial, _) in enumerate(turns))
        assert set(places.values()) == {len(heard) // trials}


def test_checks_are_mixed_in():
    block = [f"t{number}" for number in range(12)]
    checks = Checks([f"c{number}" for number in range(6)], ["same"], 2, 1, 3)
    found = schedules([block], 6, checks, random.Random(0))
    caught = Counter(turn for turns in found for turn in turns if turn[0].startswith("c"))
    assert len({trial for trial, _ in caught}) == 6
    for turns in found:
        names = [trial for trial, _ in turns]
        assert len(turns) == 12 + 2 + 1 + 3
        assert names.count("same") == 1
        repeated = [name for name in block if names.count(name) == 2]
        assert len(repeated) == 3
        for name in repeated:
            first, second = (place for place, trial in enumerate(names) if trial == name)
            assert turns[first][1] != turns[second][1]
            assert second - first >= 4
    right = Counter(swapped for turns in found for trial, swapped in turns if trial.startswith("c"))
    assert right[True] == right[False]


def test_the_design_is_a_function_of_its_seed():
    def draw(seed):
        stream = random.Random(seed)
        pairs = choose_pairs(9, 4, 2, stream)
        named = [[str(place) for place in block] for block in split_blocks(pairs, 9)]
        return pairs, schedules(named, 5, Checks(["c"], [], 1, 0, 1), stream)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
