"""Labels from answers in both orders, and the bias of the order.

A judge that leans towards what it hears first, or second, is revealed by the share of a: it moves when the order is
reversed. Where both answers name the same clip, that bias did not decide.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from music.intervals import wilson_interval
from reward.judge.answers import AnswerStore, Verdict
from reward.judge.questions import ORDERS, Judge
from reward.judgements import HEADS, Preference

FILTERS = ("consistent", "original")


def verdicts_of(judge: Judge, pair: Preference, answers: AnswerStore) -> dict[str, dict[str, Verdict]]:
    """Return what was answered about a pair, by order and head; in both, a is the clip that the pair calls a."""
    found = {}
    for order in ORDERS:
        answer = answers.get(judge.key(pair, order))
        if answer is not None and answer.verdicts:
            turned = order == "reversed"
            found[order] = {head: one.reversed() if turned else one for head, one in answer.verdicts.items()}
    return found


def label_of_pair(verdicts: Mapping[str, Mapping[str, Verdict]], head: str, keep: str) -> str:
    """Return a head's label of a pair; empty if it cannot be trusted.

    Of `FILTERS`, ``consistent`` needs the same answer in both orders, ``original`` takes that of the first.
    """
    given = [verdicts[order][head].preference for order in ORDERS if order in verdicts]
    if keep == "original":
        return given[0] if "original" in verdicts else ""
    return given[0] if len(given) == len(ORDERS) and given[0] == given[1] else ""


def bias_table(
    judged: Sequence[tuple[Mapping[str, Mapping[str, Verdict]], Mapping[str, str]]],
) -> list[dict[str, Any]]:
    """Return, for each head, what the answers in the original order, in the reversed one and the agreed ones say.

    That is the number of `pairs` answered, and of those `decided` for a or b; `a_share` of these with its 95 % Wilson
    interval; and where the truth is known, the share of them that is `right`. A pair is given by its verdicts by order,
    and its true label by head where it is known.
    """
    rows = []
    for head in HEADS:
        for name in (*ORDERS, "agreed"):
            labels, truths = [], []
            for verdicts, truth in judged:
                if name == "agreed":
                    label = label_of_pair(verdicts, head, "consistent")
                else:
                    label = verdicts[name][head].preference if name in verdicts else ""
                if label:
                    labels.append(label)
                    truths.append(truth.get(head, ""))
            both = [(label, true) for label, true in zip(labels, truths, strict=True) if label in ("a", "b")]
            known = [(label, true) for label, true in both if true in ("a", "b")]
            rows.append(
                {
                    "head": head,
                    "answers": name,
                    "pairs": len(labels),
                    "decided": len(both),
                    **_share("a_share", sum(label == "a" for label, _ in both), len(both)),
                    **_share("right", sum(label == true for label, true in known), len(known)),
                }
            )
    return rows


def _share(name: str, count: int, total: int) -> dict[str, Any]:
    if not total:
        return {name: None, f"{name}_ci95": None}
    return {name: count / total, f"{name}_ci95": list(wilson_interval(count, total))}
