"""What scorers that are made of several have in common: what they hear, refuse and take follows from the members."""

import math
from collections.abc import Sequence

from music.prompts import Prompt
from reward.protocol import Scorer, ScoreRequest, features_of, hearings_of, scores_of


class OfMembers(Scorer):
    """A scorer of several; `name`, `metrics`, `hash` and `score` are its own.

    Parameters
    ----------
    members
        Two scorers or more.
    """

    def __init__(self, members: Sequence[Scorer]) -> None:
        self._members = list(members)
        self.features = tuple(dict.fromkeys(name for member in members for name in features_of(member)))
        self.hears = tuple(dict.fromkeys(one for member in members for one in hearings_of(member)))
        self.takes_clips = all(member.takes_clips for member in members)
        heard = [member.max_seconds or math.inf for member in members]
        self.max_seconds = None if math.inf in heard else max(heard)

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt that a member refuses; see `reward.protocol.Scorer`."""
        for member in self._members:
            member.check_prompt(prompt)

    def _each(self, requests: Sequence[ScoreRequest]) -> list[tuple[dict[str, float], ...]]:
        """Return for each request what each member gives."""
        return list(zip(*(scores_of(member, requests) for member in self._members), strict=True))
