"""What anybody's scorer says of itself, checked before it is used: a wrong fact is told early and by its name."""

import inspect
import math
from numbers import Integral, Real
from typing import Any

from music.errors import InputError
from music.plug_ins import reason_of
from music.texts import is_unicode
from reward.hearing import Hearing
from reward.protocol import Scorer

_NEEDED = ("name", "metrics", "hash")


def checked_facts(found: Any) -> dict[str, Any]:
    """Return the attributes of `reward.protocol.Scorer` that an object has.

    Raises
    ------
    InputError
        If it lacks one that has no default, or one is of another type or cannot be told.
    """
    kind, facts = type(found).__name__, {}
    for name in (*Scorer.__annotations__, "score"):
        try:
            facts[name] = getattr(found, name)
        except AttributeError as error:
            if name in (*_NEEDED, "score"):
                raise InputError(
                    f"{kind} is not a scorer: it has no {name!r} (see reward.protocol.Scorer)"
                ) from error
        except Exception as error:
            raise InputError(f"the {name} of {kind} cannot be told: {reason_of(error)}") from error
    check_plain(facts.pop("score"), f"the score of {kind}")
    for name, value in facts.items():
        if (expected := _EXPECTED.get(name)) and not expected[0](value):
            raise InputError(f"the {name} of {kind} must be {expected[1]}, got {value!r:.60}")
    facts["metrics"] = tuple(facts["metrics"])
    return facts


def check_plain(function: Any, name: str) -> None:
    """`InputError` unless something can be called and gives its result at once."""
    if not callable(function):
        raise InputError(f"{name} cannot be called: it is {function!r:.60}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InputError(f"{name} is async, which nothing here waits for: write a plain function")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and is_unicode(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple | list | set | frozenset) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _is_length(value: Any) -> bool:
    return value is None or (isinstance(value, Real) and 0 < float(value) < math.inf)


_EXPECTED = {
    "name": (_is_text, "a text"),
    "hash": (_is_text, "a text"),
    "metrics": (
        lambda value: (
            bool(value)
            and isinstance(value, tuple | list)
            and _are_texts(value)
            and len({*value}) == len(value)
        ),
        "a tuple of names, each once",
    ),
    "batch_size": (_is_count, "a whole number above 0"),
    "max_seconds": (_is_length, "a number above 0, or None"),
    "features": (lambda value: value is None or _are_texts(value), "a tuple of names"),
    "hears": (
        lambda value: isinstance(value, tuple) and all(isinstance(one, Hearing) for one in value),
        "a tuple of reward.hearing.Hearing",
    ),
}
