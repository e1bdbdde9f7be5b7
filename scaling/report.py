"""``report.html``: one file that shows what best of n brought and lets one hear it.

`write_report` turns numbers and clips into the context of ``templates/report.html.j2``; drawings come from
`scaling.charts`, audio and spectrograms from `scaling.playable`. The page loads nothing from anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from music.clips import Clip, read_clip
from music.intervals import Array
from music.pool import Candidate, Pool
from music.web_page import write_page
from reward import RewardWeights
from scaling.charts import curve, spread
from scaling.estimators import ascending
from scaling.playable import mp3_uri, spectrogram_uri
from scaling.summary import steps

_EXAMPLES = 6
_MOST_SECONDS = 120.0  # s of audio in the page, all clips together: about 1 MB a minute


@dataclass(frozen=True)
class Results:
    """What the report of a run is made of, of best of n or of a search.

    Attributes
    ----------
    pool
        Pool of the clips.
    candidates
        N candidates for each of P prompts; after a search N may be another for each.
    rewards
        Rewards, `[P, N]`.
    metrics
        Metrics by name, `[P, N]` each.
    reward
        Weights of the metrics in the reward; those without one are only measured.
    summary
        Content of ``summary.json``.
    facts
        What ran: label and value, in order.
    """

    pool: Pool
    candidates: Sequence[Sequence[Candidate]]
    rewards: Sequence[Array] | Array
    metrics: Mapping[str, Sequence[Array] | Array]
    reward: RewardWeights
    summary: Mapping[str, Any]
    facts: Mapping[str, str]

    def shown(self) -> dict[str, Any]:
        """Return what the pages of both have in common."""
        measured = {"reward": self.rewards, **self.metrics}
        return {
            "summary": self.summary,
            "names": list(measured),
            "weights": self.reward.weights,
            "standardised": self.reward.standardise,
            "decides": {name: name == "reward" or bool(self.reward.weights.get(name)) for name in measured},
            "digits": {name: shown_digits(np.concatenate(list(rows))) for name, rows in measured.items()},
            "spread": spread(self.rewards),
            "examples": heard_examples(self.pool, self.candidates, self.rewards, self.metrics),
            "facts": self.facts,
        }


def write_report(path: Path, results: Results) -> None:
    """Write the page.

    Raises
    ------
    InputError
        If a clip cannot be read or the page cannot be written.
    """
    write_page(path, "scaling", _context(results))


def examples(rewards: Sequence[Array] | Array, most: int = _EXAMPLES) -> list[int]:
    """Return prompts (of P rows) spread over the gain of the best over the mean, largest first."""
    gains = np.array([row.max() - row.mean() for row in rewards])
    order = np.argsort(-gains, kind="stable")
    picked = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return [int(order[index]) for index in picked]


def ranks(rewards: Array) -> dict[str, int]:
    """Return which candidate (of `[N]`) is best, median (the lower of two), worst, as far as they differ."""
    order = ascending(rewards[None])[0]
    named = {"best": order[-1], "median": order[(len(order) - 1) // 2], "worst": order[0]}
    distinct: dict[str, int] = {}
    for name in ("best", "worst", "median"):
        if named[name] not in distinct.values():
            distinct[name] = int(named[name])
    return {name: distinct[name] for name in ("best", "median", "worst") if name in distinct}


def _context(results: Results) -> dict[str, Any]:
    shown, summary = results.shown(), results.summary
    decides, digits, numbers = shown["decides"], shown["digits"], steps(summary["n"])
    return {
        **shown,
        "numbers": [str(n) for n in numbers],
        "curves": {
            name: curve(summary["by_n"], name, decides[name], digits[name], numbers) for name in decides
        },
        "minutes": sum(candidate.seconds for row in results.candidates for candidate in row) / 60,
    }


def shown_digits(values: Array) -> int:
    """Return how many decimals show differences between candidates, 2 to 6; NaN does not count."""
    known = values[~np.isnan(values)]
    spread = float(known.std()) if len(known) else 0.0
    return 3 if spread == 0 else int(np.clip(2 - np.floor(np.log10(spread)), 2, 6))


def heard_examples(
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    rewards: Sequence[Array] | Array,
    metrics: Mapping[str, Sequence[Array] | Array],
) -> list[dict[str, Any]]:
    """Return what ``examples.html.j2`` shows: some prompts, with clips that can be played.

    Parameters
    ----------
    pool
        Pool of the clips.
    candidates, rewards
        Candidates of each prompt, and their rewards.
    metrics
        Metrics by name, as the rewards.
    """
    shown = examples(rewards)
    per_clip = _MOST_SECONDS / sum(len(ranks(rewards[row])) for row in shown)
    return [
        _example(
            pool,
            candidates[row],
            {"reward": rewards[row], **{name: values[row] for name, values in metrics.items()}},
            per_clip,
        )
        for row in shown
    ]


def _example(
    pool: Pool, candidates: Sequence[Candidate], metrics: Mapping[str, Array], seconds: float
) -> dict[str, Any]:
    rewards = metrics["reward"]
    prompt = pool.prompt(candidates[0])
    return {
        "text": prompt.text,
        "lyrics": prompt.lyrics,
        "id": prompt.id,
        # a second more than is played, so that the player can tell that it is only the beginning
        "reference": _player(read_clip(prompt.reference, seconds + 1), seconds) if prompt.reference else None,
        "gain": float(rewards.max() - rewards.mean()),
        "clips": [
            {
                "rank": name,
                "candidate": candidates[column].candidate,
                "original": candidates[column].original,
                "system": candidates[column].system,
                "scores": {metric: float(values[column]) for metric, values in metrics.items()},
                **_player(pool.clip(candidates[column]), seconds),
            }
            for name, column in ranks(rewards).items()
        ],
    }


def _player(clip: Clip, seconds: float) -> dict[str, Any]:
    heard = clip.first(seconds)
    return {
        "audio": mp3_uri(heard),
        "picture": spectrogram_uri(heard),
        "seconds": heard.seconds,
        "cut": heard.seconds < clip.seconds,
    }
