"""Which raters to believe: those who hear the obvious, do not always click one side, and take their time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.ab_test.analysis.votes import Vote, counted, load_votes
from experiments.ab_test.study import HEADS, SPOILT, Key, Study
from music.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a rater's answers are left out.

    Parameters
    ----------
    catch
        Least share of spoilt clips that were not preferred as music.
    repeat
        Least share of repeated questions with the same answer.
    seconds
        Least median time for a trial, in s.
    side
        Least probability of choosing one side so often by tossing a coin.
    headphones
        Least number of headphone trials that were right.
    """

    catch: float = 0.75
    repeat: float = 0.0
    seconds: float = 5.0
    side: float = 0.001
    headphones: int = 0


@dataclass(frozen=True, kw_only=True)
class Believing:
    """Whose answers count.

    Attributes
    ----------
    answers
        File of answers, or folder of files that raters have downloaded; STUDY/answers.jsonl by default.
    screening
        Limits beyond which a rater's answers are left out.
    """

    answers: Path | None = None
    screening: Limits = Limits()


@dataclass(frozen=True)
class RaterRecord:
    """What a rater did; shares are NaN where there was nothing to share.

    Attributes
    ----------
    rater, answers
        Id, and how many turns were answered.
    catch, repeat, seconds
        As in `Limits`.
    share_a
        Share of A among all choices that are no tie.
    side_p
        Two-sided exact binomial probability of such a share or a more extreme one.
    headphones
        Headphone trials that were right; None without the check.
    reasons
        Why the answers are left out; empty for those that are kept.
    """

    rater: str
    answers: int
    catch: float
    repeat: float
    seconds: float
    share_a: float
    side_p: float
    headphones: int | None
    reasons: tuple[str, ...]


def believed_votes(
    options: Believing, folder: Path, study: Study, key: Key
) -> tuple[list[Vote], list[RaterRecord]]:
    """Return the votes on the study in a folder by raters who pass the screening, and the records of all raters.

    Raises
    ------
    InputError
        If there are no answers, they are not of this study, or no vote on a pair is left.
    """
    votes, headphones = load_votes(folder, options.answers, study, key)
    records = screen(votes, headphones, options.screening)
    kept = {record.rater for record in records if not record.reasons}
    votes = [vote for vote in votes if vote.rater in kept]
    if not counted(votes):
        reasons = "; ".join(f"{one.rater} {', '.join(one.reasons)}" for one in records if one.reasons)
        raise InputError(
            f"no vote on a pair by a rater who passes the screening ({reasons or 'nobody voted'})"
        )
    return votes, records


def screen(votes: Sequence[Vote], headphones: Mapping[str, int | None], limits: Limits) -> list[RaterRecord]:
    """Return a record for each rater, in the order of their ids."""
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes:
        by_rater.setdefault(vote.rater, []).append(vote)
    return [_record(rater, by_rater[rater], headphones.get(rater), limits) for rater in sorted(by_rater)]


def _record(rater: str, votes: Sequence[Vote], headphones: int | None, limits: Limits) -> RaterRecord:
    from scipy.stats import binomtest

    caught = [
        vote.preferred["musicality"] == ("second" if vote.first == SPOILT else "first")
        for vote in votes
        if vote.kind == "catch"
    ]
    before: dict[str, Vote] = {}
    same = []
    for vote in votes:
        if vote.repeat:
            same += [vote.preferred[head] == before[vote.trial].preferred[head] for head in HEADS]
        before.setdefault(vote.trial, vote)
    sides = [vote.side(head) for vote in votes for head in HEADS if vote.kind != "catch"]
    chosen_a, chosen = sides.count("a"), len(sides) - sides.count("tie")
    side_p = float(binomtest(chosen_a, chosen).pvalue) if chosen else math.nan
    catch, repeat = _share(caught), _share(same)
    seconds = float(np.median([vote.seconds for vote in votes]))
    checks = [
        (catch < limits.catch, f"missed {caught.count(False)} of {len(caught)} spoilt clips"),
        (repeat < limits.repeat, f"gave {same.count(True)} of {len(same)} repeated answers again"),
        (seconds < limits.seconds, f"took {seconds:.1f} s in the median"),
        (side_p < limits.side, f"chose A in {chosen_a} of {chosen} choices"),
        (
            headphones is not None and headphones < limits.headphones,
            f"heard {headphones} headphone trials right",
        ),
        (headphones is None and limits.headphones > 0, "did not do the headphone check"),
    ]
    reasons = tuple(reason for failed, reason in checks if failed)
    share_a = chosen_a / chosen if chosen else math.nan
    return RaterRecord(rater, len(votes), catch, repeat, seconds, share_a, side_p, headphones, reasons)


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else math.nan
