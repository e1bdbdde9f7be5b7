"""Answers as files, votes as training data, and studies for other tools.

    python -m experiments.ab_test export runs/listening_test --to answers        # STUDY/answers.jsonl, raters.jsonl
    python -m experiments.ab_test export runs/listening_test --to preferences    # rows that reward/train.py reads
    python -m experiments.ab_test export runs/listening_test --to webmushra      # or listen-and-rate

Answers come from the database of `serve`; it may go on serving meanwhile. ``raters.jsonl`` holds the participant
numbers and is the only file that does: keep it apart from what you publish. Preferences are made of answers, of the
raters that pass the screening of `analyze`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.ab_test.analysis.other_tools import write_listen_and_rate, write_webmushra
from experiments.ab_test.analysis.preferences import preference_rows, split_by_prompt
from experiments.ab_test.analysis.screening import Limits, believed, screen
from experiments.ab_test.analysis.votes import ANSWERS, load_votes
from experiments.ab_test.study import BLINDED, Key, Study, load_study
from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line

RATERS = "raters.jsonl"
PREFERENCES, VALIDATION = "preferences.jsonl", "preferences_validation.jsonl"
_KINDS = ("answers", "preferences", "webmushra", "listen-and-rate")


@dataclass(frozen=True)
class Export:
    """Write what a study has brought, or the study itself for another tool.

    Parameters
    ----------
    study
        The folder that build wrote.
    to
        answers, preferences, webmushra or listen-and-rate.
    output
        Folder to write; that of the study by default, for other tools a folder in it.
    database
        Of the answers; the file beside the blinded folder by default.
    answers
        A file of answers, or a folder of those that raters have downloaded; STUDY/answers.jsonl by default.
    validation
        Share of the prompts whose preferences are written apart, to stop a training by.
    screening
        Where a rater's answers are left out.
    seed
        Of the choice of these prompts.
    """

    study: Path
    to: str = "answers"
    output: Path | None = None
    database: str = ""
    answers: Path | None = None
    validation: float = 0.2
    screening: Limits = field(default_factory=Limits)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown formats and shares."""
        if self.to not in _KINDS:
            raise InputError(f"--to must be one of {', '.join(_KINDS)}, got {self.to!r}")
        if not 0 <= self.validation < 1:
            raise InputError(f"--validation must lie in [0, 1), got {self.validation}")


def main(options: Export) -> None:
    """Write the files and say how many rows they have."""
    study, key = load_study(options.study)
    if options.to == "answers":
        counts = export_answers(options, study)
    elif options.to == "preferences":
        counts = export_preferences(options, study, key)
    else:
        output = options.output or options.study / options.to
        write = write_webmushra if options.to == "webmushra" else write_listen_and_rate
        counts = {str(output): write(options.study, study, key, output)}
    print(json.dumps(counts, indent=1))


def export_answers(options: Export, study: Study) -> dict[str, int]:
    """Write the answers and raters of the database; return how many rows each file has."""
    from experiments.ab_test.serving.database import default_database, open_database

    blinded = options.study / BLINDED
    address = options.database or default_database(blinded)
    if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).is_file():
        raise InputError(f"there is no database {address}: nobody has been served, or --database is another")
    database, _ = open_database(address, {study.id: blinded})
    output = options.output or options.study
    rows = {output / ANSWERS: database.answers(study.id), output / RATERS: database.raters(study.id)}
    database.close()
    return {str(path): _write(path, found) for path, found in rows.items()}


def export_preferences(options: Export, study: Study, key: Key) -> dict[str, int]:
    """Write preferences of the raters that are believed; return how many rows each file has."""
    votes, headphones = load_votes(options.study, options.answers, study, key)
    votes = believed(votes, screen(votes, headphones, options.screening))
    output = options.output or options.study
    rows = preference_rows(votes, options.study, study, key, output)
    if not rows:
        raise InputError("no vote on a pair by a rater who passes the screening")
    train, held = split_by_prompt(rows, options.validation, options.seed)
    files = {output / PREFERENCES: train} | ({output / VALIDATION: held} if held else {})
    return {str(path): _write(path, found) for path, found in files.items()}


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    lines = [dump_line(row) for row in rows]
    write_text(path, "".join(lines))
    return len(lines)
