"""The pages that people read: their code blocks, their commands, their links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ALL_PAGES = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "assets").glob("*/README.md")),
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_COMMAND = re.compile(r"`((?:python -m|accelerate launch|torchrun|music-reward|make|pip install) [^`]+)`")
_SETTING = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """Code between fences: its language, and its text."""

    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line in words: what it sets in the environment, and what it runs."""

    settings: dict[str, str]
    words: list[str]

    def __str__(self) -> str:
        """Return it as one line."""
        return shlex.join(self.words)


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in order."""
    return [Block(*found) for found in _FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a block for a shell, without comments; a backslash joins lines."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        settings = {}
        while words and _SETTING.fullmatch(words[0]):
            name, _, value = words.pop(0).partition("=")
            settings[name] = value
        if words:
            yield Command(settings, words)


def commands_in_text(page: Path) -> list[list[str]]:
    """Return the words of commands that a page names in its text; capitals and dots stand for anything."""
    text = _HEADING.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    return [shlex.split(" ".join(found.split())) for found in _COMMAND.findall(text)]


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page, images included."""
    return _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return what a forge calls the headings of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(text)]
    return {heading.strip().replace(" ", "-") for heading in plain}
