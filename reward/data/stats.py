"""Count rows of judgement.

    python -m reward.data stats data/cmi_pref/rows.jsonl data/music_eval/rows.jsonl --json stats.json

They are counted by source, modality, label and rating, with the length of the audio.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from music.clips import read_header
from music.durable import write_text
from music.paths import check_apart, check_output_file
from music.progress import progress
from music.prompts import Prompt
from reward.judgements import HEADS, LABELS, Judgement, Preference, Rating, audio_of, load_judgements


@dataclass(frozen=True)
class Stats:
    """Count preferences and ratings by source, modality, label and rating.

    Parameters
    ----------
    files
        Files of rows.
    json
        File to write the same numbers to, as JSON.
    """

    POSITIONALS: ClassVar = ("files",)

    files: list[Path]
    json: Path | None = None


def main(options: Stats) -> None:
    """Print the counts of all files together."""
    if options.json:
        check_output_file(options.json, ".json", "--json")
        for file in options.files:
            check_apart(file, options.json)
    rows = [row for file in options.files for row in load_judgements(file)]
    found = counts_of(rows)
    if options.json:
        write_text(options.json, json.dumps(found, indent=1) + "\n")
    for name, value in found.items():
        print(f"{name:24s} {json.dumps(value)}")


def counts_of(rows: Sequence[Judgement]) -> dict[str, Any]:
    """Return how many rows there are of each kind.

    `a_share` is the share of a among decided labels: far from 0.5, it hints at a bias of position. Hours count every
    distinct path once, references included.
    """
    preferences = [row for row in rows if isinstance(row, Preference)]
    ratings = [row for row in rows if isinstance(row, Rating)]
    found: dict[str, Any] = {
        "rows": len(rows),
        "preferences": len(preferences),
        "ratings": len(ratings),
        "prompts": len({(row.prompt.text, row.prompt.lyrics, row.prompt.reference) for row in rows}),
        "source": _counted(str(row.prompt.facts.get("source", "")) for row in rows),
        "modality": _counted(modality(row.prompt) for row in rows),
    }
    for head in HEADS:
        labels = Counter(getattr(row, head) for row in preferences)
        decided = labels["a"] + labels["b"]
        given = [getattr(row, head) for row in ratings if getattr(row, head) is not None]
        sure = [getattr(row, f"confidence_{head}") for row in preferences]
        found[head] = {
            "labels": {label or "nobody judged": labels[label] for label in LABELS if labels[label]},
            "a_share": labels["a"] / decided if decided else None,
            "confidence": _spread([value for value in sure if value is not None]),
            "ratings": _spread(given),
        }
    paths = dict.fromkeys(audio_of(rows))
    seconds = []
    for path in progress(paths, "lengths"):
        header = read_header(path)
        seconds.append(header.samples / header.sample_rate)
    return found | {"files": len(paths), "hours": sum(seconds) / 3600, "seconds": _spread(seconds)}


def modality(prompt: Prompt) -> str:
    """Return the parts of a prompt, such as "text+lyrics"."""
    parts = {"text": prompt.text, "lyrics": prompt.lyrics, "reference": prompt.reference}
    return "+".join(name for name, value in parts.items() if value) or "nothing"


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, median, high = np.percentile(values, (5, 50, 95)).tolist()
    mean = float(np.mean(values))
    return {"count": len(values), "mean": mean, "5 %": low, "median": median, "95 %": high}
