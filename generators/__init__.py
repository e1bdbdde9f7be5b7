"""Generators make music from prompts: `load_generator` finds one by name, `fill_pool` fills a pool with it.

Nothing heavy is imported before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generators.filling import fill_pool
    from generators.protocol import Generator, Job, Sample
    from generators.registry import load_generator

__all__ = ["Generator", "Job", "Sample", "fill_pool", "load_generator"]

_HOMES = {
    "Generator": "generators.protocol",
    "Job": "generators.protocol",
    "Sample": "generators.protocol",
    "fill_pool": "generators.filling",
    "load_generator": "generators.registry",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only that."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
