"""Command lines from frozen dataclasses: a field an option, help from the docstring, ``--config`` files.

A command is a dataclass `Config`, a function `main(config)` and the two lines

    if __name__ == "__main__":
        run(main, Config)
"""

import argparse
import dataclasses
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import docstring_parser
import jsonargparse

from music.errors import InputError, ServiceError

C = TypeVar("C")


def parse_command(config: type[C], argv: Sequence[str] | None = None, positionals: Sequence[str] = ()) -> C:
    """Read a command line into a config.

    Parameters
    ----------
    config
        A frozen dataclass with a NumPy docstring; it may raise `InputError` in ``__post_init__``.
    argv
        The arguments; those of this process by default.
    positionals
        Names of the fields that are given without ``--name``, in order. Those with a default may be left out; a list
        takes one or more.

    Raises
    ------
    InputError
        If an option is unknown, missing or of the wrong type.
    SystemExit
        After ``--help`` and ``--print_config``, with code 0.
    """
    jsonargparse.set_parsing_settings(docstring_parse_style=docstring_parser.DocstringStyle.NUMPYDOC)
    description = (config.__doc__ or "").strip().splitlines()[0]
    parser = jsonargparse.ArgumentParser(description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="A YAML file with options; later options win.")
    for name in positionals:
        kind, number = _type_of(config, name), _default_of(config, name)
        if typing.get_origin(kind) is list:
            kind, number = typing.get_args(kind)[0], {"nargs": "+"}
        parser.add_argument(name, type=kind, help=_help_of(config, name), **number)
    parser.add_class_arguments(config, skip=set(positionals))
    try:
        parsed = parser.parse_args(None if argv is None else list(argv))
    except jsonargparse.ArgumentError as error:
        raise InputError(f"{_one_line(str(error))} (--help lists the options)") from error
    values = parser.instantiate_classes(parsed)
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    return config(**{name: values[name] for name in names if name in values})


def refuse_below_one(config: Any, *options: str) -> None:
    """Check that numbers of a config count something; None is an option that was not given.

    Raises
    ------
    InputError
        If one of the named fields is below 1.
    """
    for name in options:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")


def run(
    main: Callable[[C], int | None],
    config: type[C],
    argv: Sequence[str] | None = None,
    positionals: Sequence[str] = (),
) -> None:
    """Parse the command line, call `main`, and exit with its code; 130 for Ctrl-C.

    An `InputError` or a `ServiceError` ends it with code 2, and is printed as one line ``error: ...`` on
    stderr; any other exception keeps its traceback.
    """
    try:
        code = main(parse_command(config, argv, positionals))
    except (InputError, ServiceError) as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(code or 0)


def split_names(names: str) -> list[str]:
    """Return the names in a text with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _type_of(config: type, name: str) -> Any:
    return typing.get_type_hints(config)[name]


def _default_of(config: type, name: str) -> dict[str, Any]:
    """Return what makes a positional with a default optional: left out, it leaves --config files alone."""
    default = next(field.default for field in dataclasses.fields(config) if field.name == name)
    return {} if default is dataclasses.MISSING else {"nargs": "?", "default": argparse.SUPPRESS}


def _help_of(config: type, name: str) -> str | None:
    described = docstring_parser.parse(config.__doc__ or "", docstring_parser.DocstringStyle.NUMPYDOC)
    return next((parameter.description for parameter in described.params if parameter.arg_name == name), None)
