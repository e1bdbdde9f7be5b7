"""Where the files that ship with the project lie (small trained models, prompts)."""

from importlib import resources
from pathlib import Path

from music.errors import InputError


def asset(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``asset("lab/prompts.jsonl")``.

    Raises
    ------
    InputError
        If it is not there.
    """
    try:
        path = Path(str(resources.files("assets"))) / name
    except ModuleNotFoundError as error:
        raise InputError(
            f"the folder of shipped models is missing (looked for {name}): reinstall the project"
        ) from error
    if not path.exists():
        raise InputError(
            f"{path} is missing: it should ship with the project; restore it with git or reinstall"
        )
    return path
