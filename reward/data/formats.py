"""The published sets that can be read, by the name of their layout."""

from collections.abc import Callable

from reward.data import aime, cmi, music_arena, music_eval, pam, song_eval
from reward.data.rows import Found, Source

FORMATS: dict[str, Callable[[Source], Found]] = {
    "cmi": cmi.read,
    "music_eval": music_eval.read,
    "pam": pam.read,
    "music_arena": music_arena.read,
    "aime": aime.read,
    "song_eval": song_eval.read,
}
