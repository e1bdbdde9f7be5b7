"""``ranking.csv``: every candidate with its rank in its prompt, where it comes from and its scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music.candidate import Candidate
from music.durable import write_text
from music.intervals import Array
from music.tables import csv_table

_FACTS = ("prompt_id", "text", "candidate", "file_name", "original", "system")


def write_ranking(
    path: Path,
    candidates: Sequence[Sequence[Candidate]],
    order: Sequence[Sequence[int]] | NDArray[np.int64],
    metrics: Mapping[str, Sequence[Array] | Array],
) -> None:
    """Write the table; candidates `[P, N]` in the order `[P, N]` of their ranks, metrics `[P, N]` each by name.

    N may be another for each prompt.
    """
    lines: list[dict[str, Any]] = []
    for place, row in enumerate(candidates):
        for rank, index in enumerate(order[place], start=1):
            facts = {name: getattr(row[index], name) for name in _FACTS}
            numbers = {name: float(values[place][index]) for name, values in metrics.items()}
            lines.append({"rank": rank, **facts, **numbers})
    write_text(path, csv_table(lines, list(lines[0])))
