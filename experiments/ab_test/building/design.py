"""The design of a study: which pairs are heard, by whom, in which order, and which clip of a pair is called A.

1. `choose_pairs`: all pairs of systems for every prompt, or so many a prompt that every pair of systems comes equally
   often (a balanced incomplete block design, prompts being the blocks).
2. `split_blocks`: what one rater hears, each block with every pair of systems about equally often.
3. `schedules`: one list of turns for each rater. The raters who share a block hear it in orders that are rows of a
   Latin square in which each pair follows each other equally often (Williams 1949), and see the sides of every pair
   exchanged from one rater to the next; within a rater half the pairs of any two systems are exchanged. Trials that
   check the rater are mixed in.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.ab_test.study import Turn

_SPREAD = (math.sqrt(5) - 1) / 2  # rows of a square that are used first lie far apart


@dataclass(frozen=True)
class PlannedPair:
    """Two systems (their places in a list) to be compared on one prompt (its place in a list)."""

    prompt: int
    first: int
    second: int


@dataclass(frozen=True)
class Checks:
    """Trials that check a rater: how many of each, and from which they are taken.

    Attributes
    ----------
    catch, identical
        Trials with a known answer, and of a clip against itself.
    catches, identicals, repeats
        How many a rater hears; a repeat is a pair of the rater's own, heard again with its sides exchanged.
    """

    catch: Sequence[str]
    identical: Sequence[str]
    catches: int
    identicals: int
    repeats: int


def pairings(systems: int) -> list[tuple[int, int]]:
    """Return all pairs of systems, ordered as rounds of a tournament: those of a round share no system."""
    places: list[int | None] = [*range(systems), *([None] if systems % 2 else [])]
    found = []
    for _ in range(len(places) - 1):
        for one, other in zip(places[: len(places) // 2], reversed(places), strict=False):
            if one is not None and other is not None:
                found.append((min(one, other), max(one, other)))
        places = [places[0], places[-1], *places[1:-1]]
    return found


def choose_pairs(
    prompts: int, systems: int, per_prompt: int | None, random_stream: random.Random
) -> list[PlannedPair]:
    """Return the pairs to be heard; which comes first of two systems is drawn.

    Parameters
    ----------
    prompts, systems
        How many there are.
    per_prompt
        Pairs for each prompt, all by default; every pair of systems then comes equally often, to within one.
    random_stream
        Source of chance.
    """
    kinds = pairings(systems)
    count = len(kinds) if per_prompt is None else min(per_prompt, len(kinds))
    labels = random_stream.sample(range(systems), systems)
    order = random_stream.sample(range(prompts), prompts)
    found = []
    for place, prompt in enumerate(order):
        for step in range(count):
            one, other = (labels[name] for name in kinds[(place * count + step) % len(kinds)])
            sides = (one, other) if random_stream.random() < 0.5 else (other, one)
            found.append(PlannedPair(prompt, *sides))
    return found


def split_blocks(pairs: Sequence[PlannedPair], most: int | None) -> list[list[int]]:
    """Return places of pairs in as few blocks of at most `most` as possible; one block by default.

    Any two systems meet equally often in each block, and blocks are of equal size, both to within one. Where there is
    a choice, a block gets the prompt that it has heard the least of.
    """
    count = 1 if most is None else math.ceil(len(pairs) / most)
    blocks: list[list[int]] = [[] for _ in range(count)]
    kinds: list[Counter[frozenset[int]]] = [Counter() for _ in range(count)]
    prompts: list[Counter[int]] = [Counter() for _ in range(count)]
    for place, pair in sorted(enumerate(pairs), key=lambda one: sorted((one[1].first, one[1].second))):
        kind = frozenset((pair.first, pair.second))
        best = min(
            range(count),
            key=lambda block: (kinds[block][kind], len(blocks[block]), prompts[block][pair.prompt], block),
        )
        blocks[best].append(place)
        kinds[best][kind] += 1
        prompts[best][pair.prompt] += 1
    return blocks


def latin_row(size: int, row: int) -> list[int]:
    """Return a row of Williams's Latin square of the numbers below `size`.

    Rows 0 to size-1 hold each number once in each column; for an even size each number follows each other exactly once.
    For an odd size that takes rows 0 to 2 size - 1, of which the second half are the first reversed.
    """
    zigzag = [place // 2 + 1 if place % 2 else (size - place // 2) % size for place in range(size)]
    shifted = [(number + row) % size for number in zigzag]
    return shifted[::-1] if row // size % 2 else shifted


def schedules(
    blocks: Sequence[Sequence[str]], raters: int, checks: Checks, random_stream: random.Random
) -> list[list[Turn]]:
    """Return what each of so many raters hears, in order.

    Parameters
    ----------
    blocks
        Trials; the pairs of two systems stand together, so that their sides alternate.
    raters
        How many lists; rater r hears block r modulo the number of blocks.
    checks
        Trials to mix in.
    random_stream
        Source of chance.
    """
    orders = [random_stream.sample(range(len(block)), len(block)) for block in blocks]
    found = []
    for rater in range(raters):
        block, turn = blocks[rater % len(blocks)], rater // len(blocks)
        size = len(block)
        stride = next(
            step for step in range(max(1, round(size * _SPREAD)), 2 * size + 1) if math.gcd(step, size) == 1
        )
        row = turn * stride % size + size * (turn // size % 2)
        labels = orders[rater % len(blocks)]
        places = [labels[number] for number in latin_row(size, row)]
        turns: list[Turn] = [(block[place], (place + turn) % 2 == 1) for place in places]
        found.append(_with_checks(turns, rater, checks, random_stream))
    return found


def _with_checks(turns: list[Turn], rater: int, checks: Checks, random_stream: random.Random) -> list[Turn]:
    """Mix in known trials at places evenly apart, then repeats of the first third into the last third."""
    known: list[Turn] = []
    for trials, count in ((checks.catch, checks.catches), (checks.identical, checks.identicals)):
        for step in range(count if trials else 0):
            known.append((trials[(rater * count + step) % len(trials)], (rater + step) % 2 == 1))
    random_stream.shuffle(known)
    repeated = random_stream.sample(turns[: max(1, len(turns) // 3)], checks.repeats)
    mixed = list(turns)
    for step, turn in enumerate(known):
        mixed.insert(round((step + random_stream.uniform(0.3, 0.9)) * len(mixed) / len(known)), turn)
    for trial, swapped in repeated:
        mixed.insert(random_stream.randint(len(mixed) - len(mixed) // 3, len(mixed)), (trial, not swapped))
    return mixed
