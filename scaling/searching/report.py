"""``report.html`` of a search: what it found, what it cost, and how that sounds.

The page is ``scaling/templates/search.html.j2``; what can be heard on it comes from `scaling.report`, as for best of n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from music.durable import write_text
from music.intervals import Array
from music.pool import Candidate, Pool
from music.web_page import page_template
from reward import RewardWeights
from scaling.charts import against_compute, spread
from scaling.report import heard_examples, shown_digits
from scaling.summary import steps


@dataclass(frozen=True)
class SearchResults:
    """What the report is made of.

    Attributes
    ----------
    pool
        Pool of the clips.
    candidates
        Finished candidates of each of P prompts.
    rewards
        Their rewards.
    metrics
        Their metrics by name.
    reward
        Weights of the metrics in the reward; those without one are only measured.
    summary
        Content of ``summary.json``.
    facts
        What ran: label and value, in order.
    """

    pool: Pool
    candidates: Sequence[Sequence[Candidate]]
    rewards: Sequence[Array]
    metrics: Mapping[str, Sequence[Array]]
    reward: RewardWeights
    summary: Mapping[str, Any]
    facts: Mapping[str, str]


def write_search_report(path: Path, results: SearchResults) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If a clip cannot be read or the page cannot be written.
    """
    names = ["reward", *results.metrics]
    measured = {"reward": results.rewards, **results.metrics}
    context = {
        "summary": results.summary,
        "names": names,
        "weights": results.reward.weights,
        "standardised": results.reward.standardise,
        "decides": {name: name == "reward" or bool(results.reward.weights.get(name)) for name in names},
        "digits": {name: shown_digits(np.concatenate(rows)) for name, rows in measured.items()},
        "spread": spread(results.rewards),
        "curves": _curves(results, names),
        "numbers": [str(n) for n in steps(max(map(int, results.summary.get("best_of_n", ["1"]))))],
        "examples": heard_examples(results.pool, results.candidates, results.rewards, results.metrics),
        "facts": results.facts,
    }
    write_text(path, page_template("scaling", "search.html.j2").render(**context))


def _curves(results: SearchResults, names: Sequence[str]) -> dict[str, str]:
    """Return each metric against compute, with the curve of best of n; nothing where that is unknown."""
    summary = results.summary
    if "best_of_n" not in summary:
        return {}
    clips = summary["compute"]["clips_per_prompt"]
    return {
        name: against_compute(summary["best_of_n"], name, clips, summary["chosen"][name], summary["method"])
        for name in names
    }
