"""What a rater says of a trial, as it is sent, stored and exported."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_COMMENT = 1_000  # characters
MOST_EVENTS = 400

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Strict(BaseModel):
    """Refuses unknown fields and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Judgement(Strict):
    """Which clip is better in one respect, as they are called on the page, and how sure the rater is (1 to 5)."""

    choice: Literal["a", "b", "tie"]
    confidence: int = Field(ge=1, le=5)


class Event(Strict):
    """Something the rater did: when (s after the trial was shown), what, and where in the clip (s)."""

    at: Seconds
    what: Literal["unlock", "play", "pause", "seek", "choose", "hide", "show"]
    clip: Literal["a", "b", "reference", ""] = ""
    position: Seconds = 0.0


class Answer(Strict):
    """The answer to one trial.

    Attributes
    ----------
    trial
        Name of the trial.
    alignment, musicality
        Answers to the two questions.
    comment
        Reason in the rater's words.
    heard_a, heard_b
        Seconds of each clip that were heard at least once.
    events
        What the rater did, in order.
    """

    trial: str = Field(pattern=r"^[0-9a-f]{16}$")
    alignment: Judgement
    musicality: Judgement
    comment: str = Field(default="", max_length=LONGEST_COMMENT)
    heard_a: Seconds
    heard_b: Seconds
    events: list[Event] = Field(default=[], max_length=MOST_EVENTS)


class Origin(Strict):
    """Parameters that Prolific adds to the address of the page."""

    PROLIFIC_PID: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    STUDY_ID: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    SESSION_ID: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")


class Joining(Strict):
    """A rater agrees to take part."""

    consent: Literal[True]
    origin: Origin = Origin()


class SoundCheck(Strict):
    """Noise in which a rater heard the tone, 0 to 2, or 3 for none of them, trial by trial."""

    heard: list[Annotated[int, Field(ge=0, le=3)]] = Field(max_length=10)


class StoredAnswer(Answer):
    """An answer with what the server or the static page knows of it; a row of an export.

    Attributes
    ----------
    study, rater
        Ids of study and rater.
    place, position, swapped
        Number of the schedule and of the turn in it, and whether its second clip was called A.
    shown_at, answered_at
        Times in s since 1970.
    sound_check
        What was heard, as in `SoundCheck`; None if it was not done.
    """

    study: str
    rater: str
    place: int = Field(ge=0)
    position: int = Field(ge=0)
    swapped: bool
    shown_at: float
    answered_at: float
    sound_check: list[int] | None
