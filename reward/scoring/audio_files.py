"""Audio files as rows to score: a folder with all below it, or one file, for one prompt."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from music.errors import InputError
from music.paths import files_in, is_file, is_folder

# what libsndfile decodes, and what people take for audio: that it cannot be scored should not stay untold
_DECODED = {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"}
_FOREIGN = {".aac", ".ac3", ".amr", ".ape", ".m4a", ".mka", ".mp4", ".weba", ".webm", ".wma", ".wv"}
_SUFFIXES = _DECODED | _FOREIGN


def is_audio(source: Path) -> bool:
    """Return whether a source is a folder or an audio file, rather than a file with rows."""
    return is_folder(source) or (source.suffix.lower() in _SUFFIXES and is_file(source))


def folder_of(source: Path) -> Path:
    """Return the folder that paths of a source's rows are relative to."""
    return source if is_folder(source) else source.parent


def audio_rows(source: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each audio file and its row, whose id is the path from the folder; hidden files are left out.

    Raises
    ------
    InputError
        If there is no audio file, a name is not UTF-8, or a folder may not be looked into.
    """
    folder = folder_of(source)
    found = files_in(source, "**/*") if source == folder else [source]
    names = [path.relative_to(folder).as_posix() for path in found if path.suffix.lower() in _SUFFIXES]
    visible = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    files = [name for name in visible if not is_folder(folder / name)]  # a link to nothing is told
    if not files:
        raise InputError(f"{source} holds no audio file ({', '.join(sorted(_DECODED))})")
    for name in files:
        yield str(folder / name), {"id": name, "audio": name, "text": text}
