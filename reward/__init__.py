"""Judges of audio: CMI-RM and every other scorer, how they are called, combined, trained and measured."""

from typing import Any

_EXPORTS = {
    "Reward": "reward.combine",
    "ScoreRequest": "reward.protocol",
    "Scorer": "reward.protocol",
    "load_scorer": "reward.registry",
    "score_pool": "reward.scoring.pool",
}
__all__ = ["Reward", "ScoreRequest", "Scorer", "load_scorer", "score_pool"]


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first asked for, so that `import reward` stays light."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_EXPORTS[name]), name)
