"""The reward of a command: its scorer, or several side by side, with the weights of their metrics.

    --reward lab-cmi-rm,my_reward.py:brightness --weights lab-cmi-rm.musicality=0.5,brightness=0.2
    --reward lab-cmi-rm,my_reward.py:brightness --standardise true

A metric is named as tables name it, or as SCORER.metric. Without weights a scorer counts as it is meant to: CMI-RM by
half its musicality and half its alignment, one with a single metric by that. Several of them get equal shares, if they
are standardised; as they are, their scales have nothing in common, and the weights must be said.
"""

from collections.abc import Mapping
from typing import Any

from music.errors import InputError
from reward.baselines.side_by_side import parts_of
from reward.protocol import Scorer, judging
from reward.registry import load_reward
from reward.weights import RewardWeights


def load_composed(options: Any) -> tuple[Scorer, RewardWeights]:
    """Load the reward model of a command, and return it with the weights of its metrics.

    Parameters
    ----------
    options
        Options with those of `music.options.Rewarding` and `Runtime`, and perhaps `standardise`.

    Raises
    ------
    InputError
        If it cannot be loaded, or the weights do not fit its metrics.
    """
    if options.weights:
        RewardWeights.parse(options.weights)  # before a model is loaded, which takes its time
    scorer = load_reward(options)
    return scorer, weights_of(options, scorer)


def weights_of(options: Any, scorer: Scorer) -> RewardWeights:
    """Return what the weights of a command make of a scorer's metrics, by the names that they have in tables.

    Parameters
    ----------
    options
        Options with those of `music.options.Rewarding`, and perhaps `standardise`.
    scorer
        The reward model of the command.

    Raises
    ------
    InputError
        If the weights name no metric of the scorer, or one twice, or have to be said.
    """
    standardise = getattr(options, "standardise", False)
    if not options.weights:
        return RewardWeights(_usual(options, scorer), standardise)
    called = {
        f"{part.name}.{metric}": name for part, names in parts_of(scorer) for metric, name in names.items()
    }
    called |= {name: name for name in scorer.metrics}
    weights: dict[str, float] = {}
    for given, weight in RewardWeights.parse(options.weights).weights.items():
        name = called.get(given, given)
        if name in weights:
            raise InputError(
                f"--weights {options.weights} names the metric {name!r} twice: give it one weight"
            )
        weights[name] = weight
    reward = RewardWeights(weights, standardise)
    reward.check(tuple(scorer.metrics))
    return reward


def _usual(options: Any, scorer: Scorer) -> dict[str, float]:
    """Return the weights of a reward of which none are given."""
    parts = sorted(parts_of(scorer), key=lambda part: (part[0].name, sorted(part[0].metrics)))
    if len(parts) > 1 and not getattr(options, "standardise", False):
        shown = ",".join(f"{next(iter(names.values()))}=0.5" for _, names in parts)
        cure = ", or --standardise true for equal shares of each" if hasattr(options, "standardise") else ""
        raise InputError(
            f"the scales of {' and '.join(part.name for part, _ in parts)} may have nothing in common: say what "
            f"counts, as in --weights {shown}{cure}"
        )
    return {
        names[metric]: weight / len(parts) for part, names in parts for metric, weight in _own(part).items()
    }


def _own(scorer: Scorer) -> Mapping[str, float]:
    """Return the weights by which a scorer alone is a reward."""
    usual = RewardWeights().weights
    judged = judging(scorer.metrics) if scorer.higher_is_better else []
    if usual.keys() <= {*judged}:
        return usual
    if len(judged) == 1:
        return {judged[0]: 1.0}
    RewardWeights().check(tuple(scorer.metrics))
    raise InputError(f"more of the metrics of {scorer.name} is not better: say what counts, with --weights")
