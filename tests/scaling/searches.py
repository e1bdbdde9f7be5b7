"""What a search has left, as tests read it."""

import csv
import json
from pathlib import Path
from typing import Any

SECONDS = 0.6  # length of clips, such that there is something to be heard after 0.3 of the work


def chosen(folder: Path) -> dict[str, int]:
    """Return the candidate of each prompt in ``best/``."""
    rows = [json.loads(line) for line in (folder / "best" / "metadata.jsonl").read_text().splitlines()]
    return {row["prompt_id"]: row["candidate"] for row in rows}


def summary_of(folder: Path) -> dict[str, Any]:
    """Return ``summary.json``."""
    return json.loads((folder / "summary.json").read_text())


def drawn(folder: Path) -> dict[str, int]:
    """Return how many candidates each prompt has in the ranking."""
    with open(folder / "ranking.csv", newline="") as file:
        names = [row["prompt_id"] for row in csv.DictReader(file)]
    return {name: names.count(name) for name in names}
