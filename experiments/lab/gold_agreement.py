"""Measures how far the two gold judges agree about generated clips, and what choosing can gain in the ears of both.

    python -m experiments.lab.gold_agreement runs/best_of_n/pool runs/other/pool

For each pool, with 95 % intervals over prompts:

- facts: share of the clips in which each judge hears what was asked for, and their agreement about that, Cohen's kappa
  (1960): 1 where they always agree, 0 where no more than by chance. A fact on which they agree is real, whatever the
  generator made of it; one on which they do not is noise of the judges.
- scores: correlation of their alignment, margin and musicality within prompts, which is all that choosing among the
  candidates of a prompt can build on.
- reachable: gain of the clip that `Gold` likes best over the mean clip, in the ears of `GoldB`, beside the gain of the
  clip that `GoldB` itself likes best, which holds its own noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.lab.gold import JUDGED, Gold, GoldB, Impression, requested_facts
from experiments.lab.options import Suite, Workers
from experiments.running import spread
from music.command import run
from music.durable import write_json
from music.errors import InputError
from music.intervals import Array, Estimate, estimate_columns, estimate_each
from music.pool import Candidate, Pool
from scaling.estimators import best_of_n

CHUNK = 32  # clips that a process takes at a time
SCORES = ("alignment", "margin", "musicality")


@dataclass(frozen=True)
class GoldAgreement(Suite, Workers):
    """Measure how far the two gold judges agree about pools of clips.

    Parameters
    ----------
    pools
        Pools whose prompts ask for facts, each with as many candidates for every prompt.
    output
        File to write.
    seed
        Seed of the bootstrap.
    """

    POSITIONALS: ClassVar = ("pools",)

    pools: list[Path]
    output: Path = Path("runs/lab/gold_agreement.json")
    seed: int = 0


@dataclass(frozen=True)
class Heard:
    """What one judge hears in a pool.

    Attributes
    ----------
    right
        Whether each asked fact is heard, by fact, `[P, N]`; NaN where it is not asked.
    scores
        Each of `SCORES`, `[P, N]`.
    """

    right: dict[str, Array]
    scores: dict[str, Array]


def heard_in(impressions: Sequence[Impression], asked: Sequence[dict[str, Any]], n: int) -> Heard:
    """Return what was heard of what was asked, `n` clips for each prompt."""
    pairs = list(zip(impressions, asked, strict=True))
    right = {
        name: _table(
            [float(one.best(name) == facts[name]) if name in facts else np.nan for one, facts in pairs], n
        )
        for name in JUDGED
        if any(name in facts for facts in asked)
    }
    scores = {
        "alignment": [one.alignment(facts) for one, facts in pairs],
        "margin": [one.margin(facts) for one, facts in pairs],
        "musicality": [1 - one.severity for one in impressions],
    }
    return Heard(right, {name: _table(values, n) for name, values in scores.items()})


def _table(values: Sequence[float], n: int) -> Array:
    return np.array(values, dtype=float).reshape(-1, n)


def kappa(rows: Array) -> list[float]:
    """Return Cohen's kappa of two columns of 0 and 1; NaN where one value is all there is."""
    first, second = rows[:, 0], rows[:, 1]
    agreed = float((first == second).mean())
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return [(agreed - chance) / (1 - chance) if chance < 1 else float("nan")]


def within(rows: Array) -> list[float]:
    """Return the correlation of two columns, from which the means of their prompts have been taken."""
    first, second = rows[:, 0], rows[:, 1]
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return [float(first @ second) / norm if norm else float("nan")]


def agreement(first: Heard, second: Heard, seed: int) -> dict[str, Any]:
    """Return how far two judges agree, and what can be reached by choosing."""
    prompts, n = first.scores["alignment"].shape
    owner = np.repeat(np.arange(prompts), n)
    facts = {}
    for name in first.right:
        asked = ~np.isnan(first.right[name].ravel())
        rows = np.stack([first.right[name].ravel()[asked], second.right[name].ravel()[asked]], 1)
        (found,) = estimate_each(kappa, rows, list(owner[asked]), seed)
        shares = rows.mean(0)
        facts[name] = {"gold": shares[0], "gold_b": shares[1], **found.columns("kappa")}
    scores, reachable = {}, {}
    for name in SCORES:
        one, other = first.scores[name], second.scores[name]
        centred = [table - table.mean(1, keepdims=True) for table in (one, other)]
        rows = np.stack([table.ravel() for table in centred], 1)
        (found,) = estimate_each(within, rows, list(owner), seed)
        scores[name] = found.columns("within_prompts")
        gains = [best_of_n(judge, other, n) - other.mean(1) for judge in (one, other)]
        reached, own = estimate_columns(np.stack(gains, 1), seed)
        reachable[name] = {**reached.columns("by_gold"), "by_gold_b": own.value}
    return {"facts": facts, "scores": scores, "reachable": reachable, "prompts": prompts, "n": n}


def complete(pool: Pool) -> list[list[Candidate]]:
    """Return the candidates of each prompt of a pool.

    Raises
    ------
    InputError
        If its prompts have different numbers of candidates, or fewer than two.
    """
    by_prompt: dict[str, list[Candidate]] = {}
    for one in sorted(pool.candidates, key=lambda one: (one.prompt_id, one.candidate)):
        by_prompt.setdefault(one.prompt_id, []).append(one)
    counts = [len(row) for row in by_prompt.values()]
    if len({*counts}) != 1 or min(counts) < 2:
        raise InputError(
            f"{pool.folder}: every prompt needs as many candidates, and at least two; "
            f"there are {min(counts, default=0)} to {max(counts, default=0)}"
        )
    return list(by_prompt.values())


def measure(pool: Pool, suite: Path, workers: int, seed: int) -> dict[str, Any]:
    """Return the agreement about a pool; `InputError` if it is not `complete`."""
    rows = complete(pool)
    candidates, n = [one for row in rows for one in row], len(rows[0])
    asked = [requested_facts(pool.prompt(one)) for one in candidates]
    paths = [pool.path(one) for one in candidates]
    first, second = (
        heard_in(spread(judge.hear, paths, workers, judge.name, CHUNK), asked, n)
        for judge in (Gold(suite / "gold"), GoldB(suite / "gold_b"))
    )
    return agreement(first, second, seed)


def main(options: GoldAgreement) -> None:
    """Measure, print and write."""
    found = {}
    for place in options.pools:
        found[str(place)] = one = measure(Pool(place), options.suite, options.workers, options.seed)
        print(f"{place}: {one['prompts']} prompts x {one['n']} clips")
        for name, row in one["facts"].items():
            print(
                f"  {name:11s} heard in {row['gold']:.1%} and {row['gold_b']:.1%}; kappa {_shown(row, 'kappa')}"
            )
        for name in SCORES:
            row, gain = one["scores"][name], one["reachable"][name]
            print(
                f"  {name:11s} r {_shown(row, 'within_prompts')}; "
                f"reachable {_shown(gain, 'by_gold')} of {gain['by_gold_b']:.3f}"
            )
    write_json(options.output, found)


def _shown(row: dict[str, Any], name: str) -> str:
    low, high = row["low"], row["high"]
    value = float("nan") if row[name] is None else row[name]
    return f"{value:.3f}" if low is None else f"{Estimate(value, low, high):.3f}"


if __name__ == "__main__":
    run(main, GoldAgreement)
