"""Several scorers as one that has the metrics of all, for a reward with weights over them.

--reward lab-cmi-rm,my_reward:brightness --weights musicality=1,brightness=0.2
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from reward.baselines.members import OfMembers
from reward.protocol import Scorer, ScoreRequest


class SideBySide(OfMembers):
    """The metrics of all members; one that several have is ``MEMBER.metric`` of each.

    Parameters
    ----------
    members
        Two scorers or more.

    Raises
    ------
    InputError
        If two members share their own name and a metric.

    Attributes
    ----------
    parts : list
        Each member, with what its metrics are called here.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        counts = Counter(metric for member in members for metric in member.metrics)
        self.parts: list[tuple[Scorer, Mapping[str, str]]] = [
            (
                member,
                {
                    metric: metric if counts[metric] == 1 else f"{member.name}.{metric}"
                    for metric in member.metrics
                },
            )
            for member in members
        ]
        self.metrics = tuple(name for _, names in self.parts for name in names.values())
        if len({*self.metrics}) < len(self.metrics):
            twice = next(name for name, count in Counter(self.metrics).items() if count > 1)
            raise InputError(f"two scorers of one reward give {twice!r}: name each once")
        super().__init__(members)
        self.name = "-".join(member.name for member in members)
        self.higher_is_better = all(member.higher_is_better for member in members)
        self.batch_size = max(member.batch_size for member in members)
        facts = {"members": [member.hash for member in members], "metrics": self.metrics}
        self.hash = sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return all metrics of each request; see `reward.protocol.Scorer`."""
        return [self._named(one) for one in self._each(requests)]

    def _named(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Return the metrics of one request, as each member gave them, by their names here."""
        named = {}
        for (_, names), found in zip(self.parts, scores, strict=True):
            named.update({name: found[metric] for metric, name in names.items()})
        return named


def parts_of(scorer: Scorer) -> list[tuple[Scorer, Mapping[str, str]]]:
    """Return the scorers that stand side by side in one, each with what its metrics are called there; or it alone."""
    return (
        scorer.parts
        if isinstance(scorer, SideBySide)
        else [(scorer, {name: name for name in scorer.metrics})]
    )
