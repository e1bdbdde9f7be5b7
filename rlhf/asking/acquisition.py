"""Which pairs of clips people are asked about: ideas by name, all with the same number of questions for each prompt.

    random          any pair
    best_second     the reward's best clip against its second, then third ...: what best of n decides between
    best_median     the reward's best clip against that of the median reward, then those next to the median
    disagreement    the pair about which the heads of an ensemble differ most: the variance over heads of
                    reward of the one - reward of the other
    information     the pairs from which a Bradley-Terry model learns most (`rlhf.asking.information`)
    mix             half of them as best_second, half at random

No pair is asked about twice. Of equally good pairs that of the lowest candidate indices comes first. What is drawn
depends on the seed and the prompt, not on other prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from generators.shared.noise import stream_of
from music.hashing import candidate_seed
from music.intervals import Array
from rlhf.asking.information import most_informative

Pair = tuple[int, int]  # indices of two candidates of a prompt, the lower one first


@dataclass(frozen=True, eq=False)
class Insight:
    """What an ensemble, or the last layer of a reward, tells beyond rewards.

    Attributes
    ----------
    rewards
        Rewards by each of K heads, `[K, P, N]`.
    features
        Inputs of the last layer, `[P, N, D]`.
    scores
        Scores that the reward is made of, `[P, N, M]`, each of them linear in the features.
    """

    rewards: Array
    features: Array
    scores: Array


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of P prompts when pairs are chosen.

    Attributes
    ----------
    prompts
        Ids of the prompts.
    rewards
        Rewards of their candidates, `[P, N]`.
    asked
        Pairs that were asked about before, of each prompt.
    insight
        What gives an `Insight`, if it is needed.
    """

    prompts: Sequence[str]
    rewards: Array
    asked: Sequence[set[Pair]]
    insight: Callable[[], Insight]

    def open(self, place: int) -> list[Pair]:
        """Return the pairs of a prompt that nobody was asked about."""
        return [
            pair for pair in combinations(range(self.rewards.shape[1]), 2) if pair not in self.asked[place]
        ]


#: what chooses so many pairs of each prompt, by a seed
Acquisition = Callable[[Known, Sequence[int], int], list[list[Pair]]]


def at_random(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose any pairs."""
    chosen = []
    for place, (prompt, count) in enumerate(zip(known.prompts, counts, strict=True)):
        pairs = known.open(place)
        order = stream_of(candidate_seed(seed, prompt, 0)).permutation(len(pairs))
        chosen.append([pairs[one] for one in order[:count]])
    return chosen


def best_second(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose the best clip and the second, third ...; then the second and the third, and so on."""
    return _by_ranks(known, counts, lambda better, worse: (better, worse))


def best_median(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose the best clip and that in the middle, then those next to the middle; then the second, and so on."""
    last = known.rewards.shape[1] - 1
    return _by_ranks(known, counts, lambda better, worse: (better, abs(2 * worse - last)))


def disagreement(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose the pairs about which heads differ most."""
    rewards = known.insight().rewards
    chosen = []
    for place, count in enumerate(counts):
        varied = {
            (a, b): float(np.var(rewards[:, place, a] - rewards[:, place, b])) for a, b in known.open(place)
        }
        chosen.append(sorted(varied, key=lambda pair: -varied[pair])[:count])
    return chosen


def information(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose the pairs from which most is learned, beside those that were asked about."""
    insight = known.insight()
    open_pairs = [known.open(place) for place in range(len(counts))]
    return most_informative(insight.features, insight.scores, open_pairs, list(known.asked), counts)


def mix(known: Known, counts: Sequence[int], seed: int) -> list[list[Pair]]:
    """Choose half of the pairs as `best_second` does, the other half at random."""
    ends = np.cumsum(counts).tolist()  # halves of odd numbers take turns
    halves = [(end + 1) // 2 - (end - count + 1) // 2 for end, count in zip(ends, counts, strict=True)]
    first = best_second(known, halves, seed)
    asked = [pairs | set(chosen) for pairs, chosen in zip(known.asked, first, strict=True)]
    rest = [count - half for count, half in zip(counts, halves, strict=True)]
    others = at_random(Known(known.prompts, known.rewards, asked, known.insight), rest, seed)
    return [one + other for one, other in zip(first, others, strict=True)]


ACQUISITIONS: dict[str, Acquisition] = {
    "random": at_random,
    "best_second": best_second,
    "best_median": best_median,
    "disagreement": disagreement,
    "information": information,
    "mix": mix,
}


def _by_ranks(
    known: Known, counts: Sequence[int], key: Callable[[int, int], tuple[int, ...]]
) -> list[list[Pair]]:
    """Return the first pairs of each prompt in the order of a key of the ranks of the better and the worse, from 0."""
    chosen = []
    for place, count in enumerate(counts):
        order = np.argsort(-known.rewards[place], kind="stable")
        rank = {int(candidate): number for number, candidate in enumerate(order)}
        pairs = {pair: key(*sorted((rank[pair[0]], rank[pair[1]]))) for pair in known.open(place)}
        chosen.append(sorted(pairs, key=lambda pair: pairs[pair])[:count])
    return chosen
