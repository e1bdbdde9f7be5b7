"""Text that people hand in: whole characters, and JSON that is not nested without end.

JSON can escape half of a surrogate pair, a file's name can hold bytes that are no UTF-8, and both become texts that
cannot be written. They are refused where they are read, not where the first report is written.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

_DEEPEST = 100  # levels of lists and objects within each other
_SHOWN = 20  # characters before what is wrong


class JsonError(ValueError):
    """A text that is no JSON, or none that is taken."""


def is_unicode(text: str) -> bool:
    """Return whether a text consists of whole characters, so that UTF-8 can hold it."""
    return broken_text(text) is None


def broken_text(value: Any) -> str | None:
    """Return the end of the first text within a JSON value, keys included, up to half a character; None without one."""
    for text in _texts(value):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            return text[max(0, error.start - _SHOWN) : error.start + 1]
    return None


def parse_json(data: str | bytes, parse_number: Callable[[str], Any] | None = None) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    data
        The text, or its UTF-8 bytes.
    parse_number
        What turns fractions, NaN and infinities into numbers.

    Raises
    ------
    ValueError
        If it is no JSON, or nested deeper than anything that means something.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = json.loads(text, parse_float=parse_number, parse_constant=parse_number)
        deep = text.count("[") + text.count("{") > _DEEPEST and _depth(value) > _DEEPEST
    except RecursionError:
        deep = True
    if deep:
        raise JsonError(f"lists and objects lie in each other more than {_DEEPEST} levels deep")
    return value


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            waiting += [*reversed(found.values()), *found]
        elif isinstance(found, list):
            waiting += reversed(found)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [inner for one in level for inner in _inside(one)]:
        depth += 1
    return depth


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
