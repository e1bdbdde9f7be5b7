"""Which scorers may check each other: two that hear with the same features err together.

A generator that learned to please one of them may please the other in the same way, without better music.
"""

from reward.protocol import Scorer

MUQ = "MuQ"  # all of its trainings, that of MuQ-MuLan too


def features_of(scorer: Scorer) -> tuple[str, ...]:
    """Return what a scorer says it hears with; one that says nothing shares features with its own kind only."""
    return tuple(getattr(scorer, "features", None) or (scorer.name,))


def are_independent(one: Scorer, other: Scorer) -> bool:
    """Return whether two scorers have no features in common."""
    return not {*features_of(one)} & {*features_of(other)}
