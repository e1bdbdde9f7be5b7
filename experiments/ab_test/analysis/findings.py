"""All that the answers to a study say, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.ab_test.analysis.agreement import Agreement, ScorerAgreement, Stratum, agreement, strata
from experiments.ab_test.analysis.screening import RaterRecord
from experiments.ab_test.analysis.votes import Vote, counted
from experiments.ab_test.analysis.wins import WinRate, strengths, win_rates
from experiments.ab_test.study import HEADS, Key
from music.intervals import Estimate


@dataclass(frozen=True)
class HeadFindings:
    """What raters say on one question: rates of pairs of systems, strengths of systems, and agreement."""

    wins: Sequence[WinRate]
    strengths: Mapping[str, Estimate]
    agreement: Agreement | None
    strata: Sequence[Stratum]


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes
    ----------
    systems
        In the order of the study.
    raters
        All of them, with the reasons why some are left out.
    votes, prompts
        Numbers of votes on pairs by the raters who are kept, and of the prompts that these are about.
    identical
        How often these raters chose A, B and neither where both clips were the same, by question.
    heads
        What they say, by question.
    scorers
        How far scorers side with them.
    comments
        What they wrote on pairs: the systems that were A and B, and the text.
    """

    systems: Sequence[str]
    raters: Sequence[RaterRecord]
    votes: int
    prompts: int
    identical: Mapping[str, tuple[int, int, int]]
    heads: Mapping[str, HeadFindings]
    scorers: Sequence[ScorerAgreement]
    comments: Sequence[tuple[str, str, str]]

    @property
    def kept(self) -> Sequence[RaterRecord]:
        """Raters whose votes count."""
        return [record for record in self.raters if not record.reasons]


def find(
    votes: Sequence[Vote],
    raters: Sequence[RaterRecord],
    key: Key,
    scorers: Sequence[ScorerAgreement],
    seed: int,
) -> Findings:
    """Return what votes of the raters who are kept say; `raters` are all of them, `seed` is for all resampling."""
    pairs, systems = counted(votes), list(key.systems)
    same = [vote for vote in votes if vote.kind == "identical"]
    sides = {head: [vote.side(head) for vote in same] for head in HEADS}
    return Findings(
        systems=systems,
        raters=raters,
        votes=len(pairs),
        prompts=len({vote.prompt for vote in pairs}),
        identical={head: (one.count("a"), one.count("b"), one.count("tie")) for head, one in sides.items()},
        heads={
            head: HeadFindings(
                wins=win_rates(pairs, systems, head, seed),
                strengths=strengths(pairs, systems, head, seed),
                agreement=agreement(pairs, head, seed),
                strata=strata(pairs, head, seed),
            )
            for head in HEADS
        },
        scorers=scorers,
        comments=[(*vote.shown, vote.comment) for vote in pairs if vote.comment],
    )
