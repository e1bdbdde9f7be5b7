"""Where the files that ship with the project are (small trained models, prompts)."""

from pathlib import Path

from music.errors import InputError

# Not `importlib.resources`, for which a folder called `assets` in the working directory would stand in. An installed
# copy has them inside this package (setup.py), where a folder `assets` beside it belongs to somebody else.
_PACKAGE = Path(__file__).resolve().parent
INSTALLED = (_PACKAGE / "assets").is_dir()
_ASSETS = (_PACKAGE if INSTALLED else _PACKAGE.parent) / "assets"

#: The folder of the lab's models: ``assets/lab`` of a checkout.
LAB = _ASSETS / "lab"


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
