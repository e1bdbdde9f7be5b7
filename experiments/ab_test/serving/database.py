"""Raters and their answers in a database: SQLite by default, or any other that SQLAlchemy reaches.

A rater is known by a secret that their browser draws and keeps; the database holds its SHA-256. Each turn is a row,
made when it is first shown and filled by the answer, once: the same answer sent again changes nothing, another is
refused. Each call is one transaction, durable when it returns.
"""

import hashlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, Select, create_engine, event, func, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from experiments.ab_test.serving.answers import Answer, Origin
from experiments.ab_test.serving.tables import Base, RaterRow, StudyRow, TurnRow
from experiments.ab_test.study import STUDY, Study, Turn, read_study
from music.errors import InputError
from music.hashing import sha256_file

_GONE = 86_400.0  # s without an answer after which the place of a rater who has not finished is free again
_CLOCK = 1.0  # s by which a player's clock may be ahead of ours
_WAIT = 30  # s that a writer waits for another


class Refused(Exception):  # noqa: N818 (an answer to the rater, not a defect)
    """What a rater may not do; `status` is that of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class State:
    """Where a rater stands.

    Attributes
    ----------
    rater
        Public id.
    position, total
        Number of turns that are answered, and of all.
    turn
        Turn to answer; None before the practice is over, and at the end.
    following
        Turn after it, whose audio can be fetched ahead.
    sound_checked, practised
        Whether the headphone check and the practice are done.
    """

    rater: str
    position: int
    total: int
    turn: Turn | None
    following: Turn | None
    sound_checked: bool
    practised: bool


def database_address(given: str, blinded: Path) -> URL:
    """Return the address of a database that a user has given, or of the file beside a blinded folder.

    Raises
    ------
    InputError
        If what was given is no address.
    """
    if not given:  # not as a text, in which a folder's name may hold what parts an address
        return URL.create("sqlite", database=str(blinded.absolute().parent / "answers.sqlite"))
    try:
        return make_url(given)
    except (ArgumentError, ValueError) as error:
        raise InputError(
            f"--database must be an address such as sqlite:///answers.sqlite, got {given!r}: {_first_line(error)}"
        ) from error


class Database:
    """The answers to some studies.

    Parameters
    ----------
    address
        Address, as `database_address` gives it.
    folders
        Blinded folders of the studies, by id.
    most_raters
        Number of raters of each study who have finished or are at it; further ones cannot join.

    Attributes
    ----------
    studies
        The studies, by id.

    Raises
    ------
    InputError
        If the database cannot be opened, or holds answers to another version of a study.
    """

    def __init__(self, address: URL, folders: Mapping[str, Path], most_raters: float = math.inf) -> None:
        self.studies = {name: read_study(folder) for name, folder in folders.items()}
        self._most_raters = most_raters
        try:
            self._engine = _engine(address)
            Base.metadata.create_all(self._engine)
        except (ImportError, SQLAlchemyError, TypeError, ValueError) as error:
            raise InputError(f"the database cannot be opened: {_first_line(error)}") from error
        self._begin = sessionmaker(self._engine, expire_on_commit=False).begin
        for name, folder in folders.items():
            self._register(name, sha256_file(folder / STUDY))

    def _register(self, study: str, sha256: str) -> None:
        """Remember the content of a study; `InputError` if answers belong to another content."""
        with self._begin() as session:
            row = session.get(StudyRow, study)
            if row is None:
                session.add(StudyRow(id=study, sha256=sha256))
            elif row.sha256 != sha256:
                raise InputError(f"study {study} was changed after raters had begun: build a new one")

    def join(self, study: str, secret: str, origin: Origin) -> None:
        """Give a rater a place; the same secret again is the same rater.

        Raises
        ------
        Refused
            If the participant number has begun with another secret, or the study has all its raters.
        """
        with self._begin() as session:
            session.execute(select(StudyRow).where(StudyRow.id == study).with_for_update())
            if session.scalar(_with_secret(study, secret)):
                return
            raters = list(session.scalars(select(RaterRow).where(RaterRow.study == study)))
            number = origin.PROLIFIC_PID
            if number and any(rater.origin["PROLIFIC_PID"] == number for rater in raters):
                raise Refused(409, "this participant number has already begun: go on in the same browser")
            now = time.time()
            taken = Counter(
                rater.place for rater in raters if rater.finished_at or now - rater.seen_at < _GONE
            )
            if taken.total() >= self._most_raters:
                raise Refused(403, "this study has all the listeners it needs: thank you for coming")
            place = min(range(len(self.studies[study].schedules)), key=lambda place: (taken[place], place))
            row = RaterRow(id=secrets.token_hex(8), study=study, secret_sha256=_digest(secret), place=place)
            row.origin, row.joined_at, row.seen_at, row.practised = origin.model_dump(), now, now, False
            session.add(row)

    def state(self, study: str, secret: str) -> State:
        """Return where a rater stands, and note when a turn is first shown; `Refused` if nobody has this secret."""
        with self._rater(study, secret) as (session, rater):
            return self._state(session, rater)

    def sound_check(self, study: str, secret: str, heard: list[int]) -> State:
        """Keep the outcome of the headphone check; the first counts."""
        with self._rater(study, secret) as (session, rater):
            if rater.sound_check is None:
                rater.sound_check = heard
            return self._state(session, rater)

    def practised(self, study: str, secret: str) -> State:
        """Note that the practice is over: the first turn is shown now."""
        with self._rater(study, secret) as (session, rater):
            rater.practised = True
            return self._state(session, rater)

    def answer(self, study: str, secret: str, position: int, answer: Answer) -> State:
        """Store an answer, once.

        Raises
        ------
        Refused
            If nobody has this secret, the turn was not shown to this rater, is of another trial, or has another answer
            already; or too little of a clip was heard, or more than time allows.
        """
        with self._rater(study, secret) as (session, rater):
            row = session.get(TurnRow, (rater.id, position))
            if row is None:
                raise Refused(409, f"turn {position} has not been shown to you")
            if row.trial != answer.trial:
                raise Refused(403, f"turn {position} is not about that trial")
            given = answer.model_dump()
            if row.answer is not None and row.answer != given:
                raise Refused(409, f"turn {position} has already been answered")
            if row.answer is None:
                now = time.time()
                self._check(self.studies[study], row, answer, now)
                row.answer, row.answered_at = given, now
                rater.seen_at = now
                if position + 1 == len(self.studies[study].schedules[rater.place]):
                    rater.finished_at = now
                session.flush()
            return self._state(session, rater)

    def raters(self, study: str) -> list[dict[str, Any]]:
        """Return a row for each rater, with what brought them here."""
        with self._begin() as session:
            found = session.scalars(
                select(RaterRow).where(RaterRow.study == study).order_by(RaterRow.joined_at)
            )
            kept = ("id", "place", "origin", "joined_at", "finished_at", "sound_check")
            return [{name: getattr(rater, name) for name in kept} for rater in found]

    def answers(self, study: str) -> list[dict[str, Any]]:
        """Return a row for each answer, as `experiments.ab_test.analysis.votes` reads them."""
        with self._begin() as session:
            found = session.execute(
                select(RaterRow, TurnRow)
                .join(TurnRow, TurnRow.rater == RaterRow.id)
                .where(RaterRow.study == study, TurnRow.answered_at.is_not(None))
                .order_by(RaterRow.joined_at, TurnRow.position)
            )
            return [
                {
                    "study": study,
                    "rater": rater.id,
                    "place": rater.place,
                    "position": turn.position,
                    "swapped": turn.swapped,
                    "shown_at": turn.shown_at,
                    "answered_at": turn.answered_at,
                    "sound_check": rater.sound_check,
                    **(turn.answer or {}),
                }
                for rater, turn in found
            ]

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _rater(self, study: str, secret: str) -> Iterator[tuple[Session, RaterRow]]:
        """Begin a transaction in which nobody else can change the rater with a secret."""
        with self._begin() as session:
            rater = session.scalar(_with_secret(study, secret).with_for_update())
            if rater is None:
                raise Refused(401, "nobody with this secret takes part in this study")
            yield session, rater

    def _state(self, session: Session, rater: RaterRow) -> State:
        turns = self.studies[rater.study].schedules[rater.place]
        answered = select(func.count()).where(TurnRow.rater == rater.id, TurnRow.answered_at.is_not(None))
        position = session.scalar(answered) or 0
        turn = turns[position] if rater.practised and position < len(turns) else None
        if turn is not None and session.get(TurnRow, (rater.id, position)) is None:
            session.add(
                TurnRow(
                    rater=rater.id, position=position, trial=turn[0], swapped=turn[1], shown_at=time.time()
                )
            )
        following = turns[position + 1] if position + 1 < len(turns) else None
        return State(
            rater.id, position, len(turns), turn, following, rater.sound_check is not None, rater.practised
        )

    def _check(self, study: Study, row: TurnRow, answer: Answer, now: float) -> None:
        if not study.settings.ties and "tie" in (answer.alignment.choice, answer.musicality.choice):
            raise Refused(422, "this study asks for one of the two clips")
        shown = study.shown((row.trial, row.swapped))
        for name, clip, heard in zip("AB", shown, (answer.heard_a, answer.heard_b), strict=True):
            needed = study.needed_seconds(clip)
            if heard < needed:
                raise Refused(422, f"clip {name} must be heard for {needed:.1f} s, not {heard:.1f} s")
        if answer.heard_a + answer.heard_b > now - row.shown_at + _CLOCK:
            raise Refused(422, "clips cannot have been heard for longer than they were shown")


def _engine(address: URL) -> Engine:
    engine = create_engine(address, pool_size=20, max_overflow=20)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let readers and one writer work side by side, and commits survive a loss of power."""
    connection.isolation_level = None  # transactions begin where we say so
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_WAIT * 1000}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _with_secret(study: str, secret: str) -> Select[RaterRow]:
    return select(RaterRow).where(RaterRow.study == study, RaterRow.secret_sha256 == _digest(secret))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
