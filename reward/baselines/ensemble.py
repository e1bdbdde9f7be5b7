"""Several scorers as one, which is harder to deceive than each of them (arXiv 2310.02743).

    --reward mean:lab-cmi-rm+runs/other        their mean
    --reward worst:lab-cmi-rm+runs/other       the lowest
    --reward cautious:lab-cmi-rm+runs/other    their mean minus their variance

The members' scores are taken as they are: use models of one family, whose scales agree.
"""

from collections.abc import Callable, Sequence
from statistics import fmean, pvariance

from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from reward.baselines.members import OfMembers
from reward.protocol import Scorer, ScoreRequest, judging

RULES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "worst": min,
    "cautious": lambda scores: fmean(scores) - pvariance(scores),
}


class Ensemble(OfMembers):
    """The metrics by which all members judge, put together by a rule.

    Parameters
    ----------
    members
        Two scorers or more.
    rule
        One of `RULES`.

    Raises
    ------
    InputError
        If there are fewer than two members, more of a member's metrics is not better, they have no metric in common,
        or the rule is unknown.
    """

    def __init__(self, members: Sequence[Scorer], rule: str = "mean") -> None:
        if rule not in RULES:
            raise InputError(f"an ensemble's rule is one of {', '.join(RULES)}, got {rule!r}")
        if len(members) < 2:
            raise InputError(f"an ensemble needs at least two scorers, as in {rule}:A+B, got {len(members)}")
        for member in members:
            if not member.higher_is_better:
                raise InputError(f"{member.name} cannot be in an ensemble: more of its metrics is not better")
        shared = set.intersection(*(set(judging(member.metrics)) for member in members))
        self.metrics = tuple(metric for metric in members[0].metrics if metric in shared)
        if not self.metrics:
            measured = "; ".join(f"{member.name}: {', '.join(member.metrics)}" for member in members)
            raise InputError(f"the members of an ensemble have no metric in common ({measured})")
        super().__init__(members)
        self._rule = RULES[rule]
        self.name = "-".join([rule, *(member.name for member in members)])
        facts = {"rule": rule, "members": [member.hash for member in members], "metrics": self.metrics}
        self.hash = sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return each metric of each request; see `reward.protocol.Scorer`."""
        return [
            {metric: self._rule([scores[metric] for scores in one]) for metric in self.metrics}
            for one in self._each(requests)
        ]
