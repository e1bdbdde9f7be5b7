"""Measures, fact by fact, what a reward's choice among the candidates of a prompt brings in the ears of a gold judge.

    python -m experiments.lab.fact_gains runs/best_of_n/pool --reward lab-cmi-rm
    python -m experiments.lab.fact_gains runs/loop/held_out/pool --reward runs/loop/reward --judge gold

Gold's alignment is a mean over the facts that a prompt asks for: a reward that finds the drums and loses the tempo
leaves it where it was. Here every fact stands alone, over the prompts that ask for it, with 95 % intervals over them:

- heard: share of the candidates in which the judge hears what was asked for, which is what choosing blindly brings;
- reward: how much more often the judge hears it in the candidate that the reward likes best of all N;
- other: the same of the candidate that the other gold judge likes best for this fact alone (its log odds). It shares
  no error with the judge, so that this much can be reached;
- oracle: the same of the candidate that the judge itself likes best, which holds its own errors.

Alignment, the mean over the asked facts, for which the other chooses by its margin, and musicality stand below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from experiments.lab.gold import JUDGED, Gold, GoldB, Impression, requested_facts
from experiments.lab.gold_agreement import CHUNK, complete, heard_in
from experiments.lab.options import Suite, Workers
from experiments.running import spread
from music.command import run
from music.durable import write_json
from music.intervals import Array, Estimate, estimate_columns
from music.options import Rewarding, Runtime
from music.pool import Pool
from music.processes import Processes
from music.tables import markdown_table
from reward.scoring.candidates import load_scorers, score_candidates
from scaling.estimators import best_of_n

#: columns of the table
HEARD, REWARD, OTHER, ORACLE = ("heard", "reward", "other", "oracle")
#: what stands below the facts, and by what the other judge chooses for it
_WHOLE = {"alignment": "margin", "musicality": "musicality"}


@dataclass(frozen=True)
class FactGains(Suite, Rewarding, Runtime, Workers):
    """Measure what a reward's choice brings in the ears of a gold judge, fact by fact.

    Parameters
    ----------
    pool
        Pool whose prompts ask for facts, with as many candidates for every prompt.
    judge
        Judge that listens: gold_b, or gold; the other one chooses for comparison.
    output
        File to write.
    seed
        Seed of the bootstrap.
    """

    POSITIONALS: ClassVar = ("pool",)

    pool: Path
    judge: Literal["gold_b", "gold"] = "gold_b"
    output: Path = Path("runs/lab/fact_gains.json")
    seed: int = 0


def odds_in(impressions: list[Impression], asked: list[dict[str, Any]], n: int) -> dict[str, Array]:
    """Return the log odds of each asked fact, `[P, N]`, NaN where it is not asked, `n` clips for each prompt."""
    pairs = list(zip(impressions, asked, strict=True))
    return {
        name: np.array(
            [one.margin({name: facts[name]}) if name in facts else np.nan for one, facts in pairs]
        ).reshape(-1, n)
        for name in JUDGED
    }


def gains(
    rewards: Array, judged: Mapping[str, Array], other: Mapping[str, Array], seed: int
) -> dict[str, dict[str, Estimate]]:
    """Return the columns of the table, for each fact that any prompt asks for.

    Parameters
    ----------
    rewards
        Rewards, `[P, N]`.
    judged
        What the judge hears, by fact, `[P, N]`; NaN in the rows of prompts that do not ask for it.
    other
        By what the other judge chooses for it, `[P, N]`.
    seed
        Seed of the bootstrap over the prompts that ask for the fact.
    """
    found, n = {}, rewards.shape[1]
    for name, values in judged.items():
        asks = ~np.isnan(values).any(axis=1)
        if not asks.any():
            continue
        heard, blind = values[asks], values[asks].mean(axis=1)
        chosen = [best_of_n(by[asks], heard, n) - blind for by in (rewards, other[name], values)]
        estimates = estimate_columns(np.stack([blind, *chosen], axis=1), seed)
        found[name] = dict(zip((HEARD, REWARD, OTHER, ORACLE), estimates, strict=True))
    return found


def main(options: FactGains) -> None:
    """Score what is not scored yet, listen, print and write."""
    pool = Pool(options.pool)
    rows = complete(pool)
    flat, n = [one for row in rows for one in row], len(rows[0])
    asked = [requested_facts(pool.prompt(one)) for one in flat]
    scorers, reward = load_scorers(options)
    rewards = reward(score_candidates(scorers, pool, rows, Processes({})))
    golds = [Gold(options.suite / "gold"), GoldB(options.suite / "gold_b")]
    judge, other = sorted(golds, key=lambda one: one.name != options.judge)
    paths = [pool.path(one) for one in flat]
    ears = [spread(one.hear, paths, options.workers, one.name, CHUNK) for one in (judge, other)]
    whole, twin = (heard_in(impressions, asked, n) for impressions in ears)
    judged = whole.right | {name: whole.scores[name] for name in _WHOLE}
    choosing = odds_in(ears[1], asked, n) | {name: twin.scores[by] for name, by in _WHOLE.items()}
    found = gains(rewards, judged, choosing, options.seed)
    print(f"{options.pool}: best of {n} by {reward.name} of {scorers[0].name}, as {judge.name} hears it\n")
    print(_table(found, other.name), end="")
    facts = {
        name: {"prompts": columns[HEARD].prompts, **{key: one.columns() for key, one in columns.items()}}
        for name, columns in found.items()
    }
    record = {"pool": str(options.pool), "n": n, "reward": scorers[0].hash, "weights": reward.name}
    write_json(options.output, record | {"judge": judge.name, "other": other.name, "gains": facts})


def _table(found: Mapping[str, Mapping[str, Estimate]], other: str) -> str:
    header = ["", "prompts", "heard in all clips", "gain by the reward", f"by {other}", "by the judge itself"]
    lines = [
        [name, str(columns[HEARD].prompts), f"{columns[HEARD].value:.3f}"]
        + [f"{columns[key]:+.3f}" for key in (REWARD, OTHER, ORACLE)]
        for name, columns in found.items()
    ]
    return markdown_table(header, lines)


if __name__ == "__main__":
    run(main, FactGains)
