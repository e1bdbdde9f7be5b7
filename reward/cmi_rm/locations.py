"""Where a named model lies: at the working directory, beside the checkpoint, or on the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from music.errors import InputError
from music.hub import hub_errors
from music.paths import is_file, is_folder
from music.shipped_files import asset

#: name of towers that ship with the project -> their asset
SHIPPED = {"lab-mulan": "lab/mulan", "lab-mulan-played": "lab/played/mulan"}


@dataclass(frozen=True)
class Locator:
    """Finds folders by name.

    Attributes
    ----------
    bases
        Folders in which relative names are looked up, in order, after the working directory.
    """

    bases: tuple[Path, ...] = ()

    def beside(self, folder: Path) -> "Locator":
        """Return a locator that also looks beside `folder` and into it."""
        return Locator((*self.bases, folder.parent, folder))

    def folder(self, name: str, patterns: Sequence[str]) -> Path:
        """Return the folder called `name` that has the file `patterns[0]`.

        If only the hub has it, the files that match `patterns` are downloaded.

        Raises
        ------
        InputError
            If it is nowhere; the message names the places.
        """
        # the last place serves a checkpoint that was moved together with its towers
        inside = [base / place for place in (name, Path(name).name) for base in self.bases]
        places = [Path(name), *inside]
        for place in places:
            if is_file(place / patterns[0]):  # an unrelated folder of that name is passed over
                return place
        if name in SHIPPED:
            return asset(SHIPPED[name])
        looked = f"looked for {' and '.join(str(place) for place in dict.fromkeys(places))}"
        if Path(name).is_absolute() or name.count("/") > 1 or name.startswith("."):
            raise InputError(f"{_missing(name, patterns[0])}: {looked}")
        return _from_hub(name, patterns, looked)


def _missing(name: str, file: str) -> str:
    return f"the folder {name} has no {file}" if is_folder(name) else f"there is no folder {name}"


def _from_hub(name: str, patterns: Sequence[str], looked: str) -> Path:
    from huggingface_hub import snapshot_download

    with hub_errors(name, f"{_missing(name, patterns[0])} ({looked})"):
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
