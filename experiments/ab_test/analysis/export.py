"""Answers as files, votes as training data, and studies for other tools.

    python -m experiments.ab_test export runs/listening_test --to answers        # STUDY/answers.jsonl, raters.jsonl
    python -m experiments.ab_test export runs/listening_test --to preferences    # rows that reward/train.py reads
    python -m experiments.ab_test export runs/listening_test --to webmushra      # or listen-and-rate

Answers come from the database of `serve`; it may go on serving meanwhile. ``raters.jsonl`` holds the participant
numbers and is the only file that does: keep it apart from what you publish. Preferences are made of the answers of
raters who pass the screening of `analyze`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from experiments.ab_test.analysis.other_tools import write_listen_and_rate, write_webmushra
from experiments.ab_test.analysis.preferences import preference_rows, split_by_prompt
from experiments.ab_test.analysis.screening import Believing, believed_votes
from experiments.ab_test.analysis.votes import ANSWERS
from experiments.ab_test.study import BLINDED, LISTENING, Key, Study, load_study
from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.paths import is_file

RATERS = "raters.jsonl"
PREFERENCES, VALIDATION = "preferences.jsonl", "preferences_validation.jsonl"
_KINDS = ("answers", "preferences", "webmushra", "listen-and-rate")


@dataclass(frozen=True)
class Export(Believing):
    """Write what a study has brought, or the study itself for another tool.

    Parameters
    ----------
    study
        Folder that build wrote.
    to
        What to write: answers, preferences, webmushra or listen-and-rate.
    output
        Folder to write; that of the study by default, for other tools a folder in it.
    database
        Database of the answers, as SQLAlchemy writes addresses; the file beside the blinded folder by default.
    validation
        Share of the prompts whose preferences are written to a file of their own, to stop a training by.
    seed
        Seed of the choice of these prompts.
    """

    POSITIONALS: ClassVar = ("study",)
    LIBRARIES: ClassVar = (LISTENING,)

    study: Path
    to: str = "answers"
    output: Path | None = None
    database: str = ""
    validation: float = 0.2
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
    from experiments.ab_test.serving.database import Database, database_address

    blinded = options.study / BLINDED
    address = database_address(options.database, blinded)
    if address.get_backend_name() == "sqlite" and not is_file(address.database or ""):
        raise InputError(
            f"there is no database {address.database}: nobody has been served, or --database is another"
        )
    database = Database(address, {study.id: blinded})
    output = options.output or options.study
    rows = {output / ANSWERS: database.answers(study.id), output / RATERS: database.raters(study.id)}
    database.close()
    return {str(path): _write(path, found) for path, found in rows.items()}


def export_preferences(options: Export, study: Study, key: Key) -> dict[str, int]:
    """Write preferences of the raters that are believed; return how many rows each file has."""
    votes, _ = believed_votes(options, options.study, study, key)
    output = options.output or options.study
    rows = preference_rows(votes, options.study, study, key, output)
    train, held = split_by_prompt(rows, options.validation, options.seed)
    files = {output / PREFERENCES: train} | ({output / VALIDATION: held} if held else {})
    return {str(path): _write(path, found) for path, found in files.items()}


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    lines = [dump_line(row) for row in rows]
    write_text(path, "".join(lines))
    return len(lines)
