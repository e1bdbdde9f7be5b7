"""The tables of the answers: studies, raters, and a row for each turn that was shown."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSON(none_as_null=True), list[int]: JSON(none_as_null=True)}  # noqa: RUF012 (read by SQLAlchemy)


class StudyRow(Base):
    """A study, and the hash of its file."""

    __tablename__ = "studies"
    id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]


class RaterRow(Base):
    """A rater: `place` among the schedules, and times in s since 1970."""

    __tablename__ = "raters"
    __table_args__ = (UniqueConstraint("study", "secret_sha256"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    study: Mapped[str] = mapped_column(ForeignKey("studies.id"), index=True)
    secret_sha256: Mapped[str]
    place: Mapped[int]
    origin: Mapped[dict[str, Any]]
    joined_at: Mapped[float]
    seen_at: Mapped[float]
    finished_at: Mapped[float | None]
    sound_check: Mapped[list[int] | None]
    practised: Mapped[bool]


class TurnRow(Base):
    """A turn of a rater: made when it is first shown, filled by the answer; times in s since 1970."""

    __tablename__ = "turns"
    rater: Mapped[str] = mapped_column(ForeignKey("raters.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    trial: Mapped[str]
    swapped: Mapped[bool]
    shown_at: Mapped[float]
    answered_at: Mapped[float | None]
    answer: Mapped[dict[str, Any] | None]
