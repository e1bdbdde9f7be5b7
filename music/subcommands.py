"""Commands with subcommands: a table of names, of which only the one that is asked for is imported."""

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from music.closed_pipes import outlive_readers
from music.command import run
from music.optional_libraries import extra_with, install_extra


@dataclass(frozen=True)
class Command:
    """A command of a table.

    Attributes
    ----------
    place
        Its dataclass, as module:Class; `main` of the same module runs it. Or a table of subcommands, as module:TABLE.
    summary
        What it does, in one line.
    shares
        Whether several processes can share its work.
    """

    place: str
    summary: str
    shares: bool = False


def dispatch(name: str, about: str, table: Mapping[str, Command], argv: Sequence[str]) -> None:
    """Hand the rest of a command line to the subcommand that its first word names.

    Parameters
    ----------
    name
        What the usage line calls the whole: ``python -m experiments.ab_test``, ``music-reward`` ...
    about
        What the subcommands are for; its first paragraph is shown.
    table
        The subcommands.
    argv
        The words after the name; without any, the subcommands are listed.
    """
    outlive_readers()
    word, rest = (argv[0], argv[1:]) if argv else ("--help", [])
    if word in ("--help", "-h"):
        print(_listing(name, about, table))
    elif word not in table:
        near = difflib.get_close_matches(word, table, n=1)
        hint = f"; did you mean {near[0]}?" if near else " (--help explains them)"
        print(f"error: expected one of {', '.join(table)}, got {word!r}{hint}", file=sys.stderr)
        sys.exit(2)
    else:
        module, _, attribute = table[word].place.partition(":")
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            extra = extra_with(error.name or "")
            if extra is None:
                raise
            print(f"error: {error.name} is not installed: {install_extra(extra)}", file=sys.stderr)
            sys.exit(2)
        target = getattr(found, attribute)
        if isinstance(target, Mapping):
            dispatch(f"{name} {word}", table[word].summary, target, rest)
        else:
            run(found.main, target, rest, f"{name} {word}")


def find(table: Mapping[str, Command], argv: Sequence[str]) -> tuple[str, Command] | None:
    """Return the command that the first words of a command line name, with those words; None if they name none."""
    if not argv or argv[0] not in table:
        return None
    command = table[argv[0]]
    module, _, attribute = command.place.partition(":")
    if not attribute.isupper():
        return argv[0], command
    below = find(getattr(importlib.import_module(module), attribute), argv[1:])
    return (f"{argv[0]} {below[0]}", below[1]) if below else None


def _listing(name: str, about: str, table: Mapping[str, Command]) -> str:
    width = max(map(len, table))
    lines = [f"  {word:{width}}  {command.summary}" for word, command in table.items()]
    paragraph = about.strip().split("\n\n")[0]
    return "\n".join(
        [
            f"usage: {name} COMMAND ...",
            "",
            paragraph,
            "",
            "commands:",
            *lines,
            "",
            f"{name} COMMAND --help explains one.",
        ]
    )
