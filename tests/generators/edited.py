"""Configurations that differ from those of a tiny model."""

import json
from pathlib import Path
from typing import Any


def edit(file: Path, **changes: Any) -> None:
    """Change a JSON file; the names of nested keys and places in lists are joined by two underscores."""
    config = json.loads(file.read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        place[int(last) if last.isdigit() else last] = value
    file.write_text(json.dumps(config))
