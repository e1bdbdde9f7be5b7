"""All that the answers to a study say, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.ab_test.analysis.agreement import Agreement, ScorerAgreement, Stratum, agreement, strata
from experiments.ab_test.analysis.screening import RaterRecord
from experiments.ab_test.analysis.votes import Vote, counted
from experiments.ab_test.analysis.wins import Strength, WinRate, strengths, win_rates
from experiments.ab_test.study import HEADS, Key


@dataclass(frozen=True)
class HeadFindings:
    """What raters say in one respect; see the classes of the parts."""

    wins: Sequence[WinRate]
    strengths: Sequence[Strength]
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
    votes
        Votes on pairs of the raters who are kept.
    prompts
        How many prompts these are about.
    identical
        Of these raters, by head: choices of A, B and neither where both clips were the same.
    heads
        By question.
    scorers
        How far scorers side with these raters.
    comments
        What they wrote on pairs: systems as A and B, and text.
    """

    systems: Sequence[str]
    raters: Sequence[RaterRecord]
    votes: int
    prompts: int
    identical: Mapping[str, tuple[int, int, int]]
    heads: Mapping[str, HeadFindings]
    scorers: Sequence[ScorerAgreement]
    comments: Sequence[tuple[str, str, str]]


def find(
    votes: Sequence[Vote],
    raters: Sequence[RaterRecord],
    key: Key,
    scorers: Sequence[ScorerAgreement],
    seed: int,
) -> Findings:
    """Return what votes say.

    Parameters
    ----------
    votes
        Of the raters who are kept.
    raters
        Records of all raters.
    key
        Of the study.
    scorers
        How far scorers side with the raters who are kept.
    seed
        Of all resampling.
    """
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
        comments=[
            (*((vote.second, vote.first) if vote.swapped else (vote.first, vote.second)), vote.comment)
            for vote in pairs
            if vote.comment
        ],
    )
