"""What tells whether files were left alone, and whether two of them say the same."""

import csv
import json
from pathlib import Path

import pytest


def state(folder: Path, *patterns: str) -> dict[str, tuple[int, bytes]]:
    """Return when each file that matches was written, and its bytes."""
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def record(path: Path) -> dict:
    return json.loads(path.read_text())


def close_to(value):
    """Return a JSON value whose numbers are compared with a tolerance."""
    if isinstance(value, dict):
        return {name: close_to(one) for name, one in value.items()}
    if isinstance(value, list):
        return [close_to(one) for one in value]
    return pytest.approx(value, abs=1e-6, nan_ok=True) if isinstance(value, float) else value


def table(path: Path) -> list[dict]:
    """Return the lines of a CSV file, its numbers to be compared with a tolerance."""
    with path.open(newline="") as file:
        return [{name: _cell(value) for name, value in line.items()} for line in csv.DictReader(file)]


def _cell(text: str):
    try:
        return close_to(float(text))
    except ValueError:
        return text
