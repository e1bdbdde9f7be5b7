"""Where the files that ship with the project lie (small trained models, prompts)."""

from pathlib import Path

from music.errors import InputError

# Beside the packages, in a checkout and in site-packages alike. Not `importlib.resources`, for which a folder called
# `assets` in the working directory would stand in.
_ASSETS = Path(__file__).resolve().parent.parent / "assets"


def asset(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``asset("lab/prompts.jsonl")``.

    Raises
    ------
    InputError
        If it is not there.
    """
    path = _ASSETS / name
    if not path.exists():
        raise InputError(
            f"{path} is missing: it should ship with the project; restore it with git or reinstall"
        )
    return path
