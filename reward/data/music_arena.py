"""Music Arena (Kim et al. 2025): battles between two systems, decided by one vote.

The folder holds ``battle_data/**/*.json``, a file a battle, and ``audio_files/``. Listeners are not asked what they
judge: `vote` says for which head it counts. The audio of some systems is not published; their battles are left out.
"""

from functools import partial
from pathlib import Path

from music.errors import InputError
from music.files import read_object
from music.paths import files_in, is_file
from reward.data.rows import Items, Row, Source, UnusableError, audio_path, label_of, vote_of, without_empty

_FACTS = (
    "battle_uuid",
    "date",
    "is_instrumental",
    "user_pseudonym",
    "feedback",
    "total_listening_time_a",
    "total_listening_time_b",
)


def read(source: Source) -> Items:
    """Yield the battles, in the order of their files; a split is a month, such as ``01-2025JUL``."""
    battles = source.place / "battle_data"
    files = files_in(battles / source.split if source.split else battles, "**/*.json")
    if not files:
        raise InputError(f"{battles / source.split} holds no battles: expected battle_data/MONTH/*.json")
    for path in files:
        yield str(path), partial(_row, path, source)


def _row(path: Path, source: Source) -> Row:
    try:
        fields = read_object(path)
    except InputError as error:
        raise UnusableError("the battle cannot be read", str(error)) from error
    label = label_of(fields.get("preference"))
    if not label:
        raise UnusableError("nobody judged it", "no vote")
    facts = {
        "source": "Music Arena",
        "month": path.parent.name,
        **{name: fields.get(name) for name in _FACTS},
    }
    facts |= {f"model_{side}": _system(fields.get(f"system_{side}")) for side in "ab"}
    return {
        "text": fields.get("prompt") or "",
        "lyrics": fields.get("lyrics") or "",
        **{f"audio_{side}": _audio(source, path, fields.get(f"audio_{side}")) for side in "ab"},
        **vote_of(label, source.vote),
        "facts": without_empty(facts),
    }


def _audio(source: Source, battle: Path, name: object) -> str:
    """Return a battle's audio, which is named relative to the set, or lies under the battle's month."""
    if isinstance(name, str) and name:
        beside = source.audio / "audio_files" / battle.parent.name / Path(name).name
        if is_file(beside):
            return str(beside.absolute())
    return audio_path(source.audio, name)


def _system(value: object) -> str:
    """Return the name of a system, which may stand in a table with its variant."""
    if isinstance(value, dict):
        return ":".join(str(value[key]) for key in ("system_tag", "variant_tag") if value.get(key))
    return str(value or "")
