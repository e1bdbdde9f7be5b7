"""JSON files that hold one object, such as a model's configuration."""

import json
from pathlib import Path
from typing import Any

from music.errors import InputError


def read_object(path: str | Path) -> dict[str, Any]:
    """Return the fields of the object that a file holds.

    Raises
    ------
    InputError
        If the file cannot be read as JSON, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
