"""Command lines from frozen dataclasses: a field an option, help from docstrings, ``--config`` files.

A command is a dataclass `Config`, a function `main(config)` in the same module, and the two lines

    if __name__ == "__main__":
        run(main, Config)

`Config` inherits options that it shares with others (`music.options`), names those that are given without ``--name`` in
`POSITIONALS`, those that were once called otherwise in `RENAMED`, and in `LIBRARIES` what it needs beside what the
project always has (`music.optional_libraries`). The commands in its module's docstring are the
examples of ``--help``.
"""

import argparse
import dataclasses
import errno
import itertools
import os
import re
import signal
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import docstring_parser
import jsonargparse

from music.closed_pipes import outlive_readers
from music.distributed.launched import end_with_accelerate, is_launched
from music.errors import InputError, ServiceError
from music.files import read_text
from music.interruption import Stopped, terminable
from music.memory import is_out_of_memory
from music.optional_libraries import extra_with, install_extra
from music.paths import check_file, check_output, is_pipe
from music.texts import is_unicode

C = TypeVar("C")
_LESS_MEMORY = (
    "smaller batches, shorter clips, fewer processes or a smaller model take less; finished work stays"
)
_EXAMPLE = re.compile(r"^ {4}(?:accelerate launch|torchrun|python|music-reward) ")
# what the place of a file forbids
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
_HOME = re.compile(r"(?<![^,=:+])~(?=/)")  # in lists and after names too: a=~/x,b=~/y
_WRONG_CHOICE = re.compile(r'Parser key "([\w.]+)": Expected a typing\.Literal\[(.+)\]\. Got value: (.*)')
_SEEDS = 2**63  # of which torch, numpy and Python take all
_RULE = "-" * 80
_FOLLOWS = (
    "(what follows, if anything, is only the launcher's report that this process has ended with code 2)"
)


class _Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help whose examples keep their lines."""

    def _expand_help(self, action: argparse.Action) -> str:
        return super()._expand_help(action).replace("<class 'Path'>", "path").replace(", default: )", ")")


class _Parser(jsonargparse.ArgumentParser):
    """A parser of UTF-8 files, whose ``--print_config`` gives new names to what was given under old ones."""

    renamed: Mapping[str, str]

    def dump(self, cfg: jsonargparse.Namespace, **options: Any) -> str:
        for old, new in self.renamed.items():
            if old in cfg:
                cfg[new] = cfg.pop(old)
        return super().dump(cfg, **options)

    def parse_path(self, path: Any, **options: Any) -> jsonargparse.Namespace:
        """Read a file of options; the locale has no part in it."""
        content = read_text(os.path.expanduser(path))
        try:
            return self.parse_string(content, path=os.path.basename(path), **options)
        except jsonargparse.ArgumentError as error:
            raise InputError(f"{path}: {_told(error)}") from error


def parse_command(config: type[C], argv: Sequence[str] | None = None, name: str | None = None) -> C:
    """Read a command line into a config.

    Parameters
    ----------
    config
        A frozen dataclass with a NumPy docstring; it may raise `InputError` in ``__post_init__``. Positionals that
        have a default may be left out; a list takes one or more.
    argv
        The arguments; those of this process by default.
    name
        What the usage line calls the command; how this process was started by default.

    Raises
    ------
    InputError
        If an option is unknown, missing or of the wrong type, or given under its old name and its new one; or if what
        it names, or the working directory, has a name that is not UTF-8, which no record of the run could hold.
    SystemExit
        After ``--help`` and ``--print_config``, with code 0.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    _check_names(words)
    parser = _parser_of(config, name or command_name())
    try:
        parsed = parser.parse_args(words)
    except jsonargparse.ArgumentError as error:
        raise InputError(f"{_told(error)} (--help lists the options)") from error
    values = parser.instantiate_classes(parsed)
    given = {option: _meant(option, values[option]) for option in options_of(config) if option in values}
    if not 0 <= (given.get("seed") or 0) < _SEEDS:
        raise InputError(f"--seed must be from 0 to {_SEEDS - 1}, got {given['seed']}")
    for old, new in renamed_of(config).items():
        if old in values:
            if given.get(new) != _default_of(config, new):
                raise InputError(f"--{old} is the old name of --{new}: give one of them")
            given[new] = _meant(old, values[old])
            if os.environ.get("RANK", "0") == "0":
                print(f"note: --{old} is called --{new} now", file=sys.stderr)
    return config(**given)


def command_name() -> str:
    """Return how this process was started: ``python -m scaling.evaluate``, ``scaling/best_of_n.py`` ..."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    here = os.path.relpath(sys.argv[0]) if sys.argv[0] else "python"
    return os.path.basename(here) if here.startswith("..") else here


def options_of(config: type) -> list[str]:
    """Return the names of the options of a command, its own first."""
    return [name for _, names in _sections(config) for name in names]


def positionals_of(config: type) -> tuple[str, ...]:
    """Return the options that are given without their names, in order."""
    return getattr(config, "POSITIONALS", ())


def renamed_of(config: type) -> Mapping[str, str]:
    """Return the options that had another name, by that name."""
    return {
        old: new for part in reversed(config.__mro__) for old, new in vars(part).get("RENAMED", {}).items()
    }


def help_of(config: type, name: str) -> str | None:
    """Return what the docstring of a command, or of the options that it shares, says of one."""
    for part in config.__mro__:
        described = docstring_parser.parse(part.__doc__ or "", docstring_parser.DocstringStyle.NUMPYDOC)
        for parameter in described.params:
            if name in parameter.arg_name.split(", "):
                return parameter.description
    return None


def examples_of(config: type) -> list[str]:
    """Return the commands in the docstring of a command's module, each in one line."""
    text = (sys.modules[config.__module__].__doc__ or "").replace("\\\n", "")
    return [re.sub(r" {3,}", " ", line.strip()) for line in text.splitlines() if _EXAMPLE.match(line)]


# more cannot be meant; a number of anything else ends where C's does
_MOST = {
    **dict.fromkeys(("batch_size", "micro_batch_size"), 65_536),
    **dict.fromkeys(("n", "held_out_n"), 1_000_000),
    "seeds": 10_000,
    "ensemble": 1_000,
    "concurrency": 4_096,
}
_MOST_OF_ALL = 2**31 - 1
_THREADS_A_CORE, _THREADS = 8, 256  # workers that even a small machine may have


def refuse_below_one(config: Any, *options: str) -> None:
    """Check that numbers of a config count something that fits a machine; None is an option that was not given.

    Raises
    ------
    InputError
        If one of the named fields is below 1, or so large that it cannot be meant.
    """
    _refuse_outside(1, config, options)


def refuse_negative(config: Any, *options: str) -> None:
    """Check that numbers of a config are not negative, nor too many; None is an option that was not given.

    Raises
    ------
    InputError
        If one of the named fields is below 0, or so large that it cannot be meant.
    """
    _refuse_outside(0, config, options)


def _refuse_outside(least: int, config: Any, options: Sequence[str]) -> None:
    for name in options:
        value = getattr(config, name)
        if value is None:
            continue
        if value < least:
            raise InputError(f"--{name} must be at least {least}, got {value}")
        most = _MOST.get(name, _MOST_OF_ALL)
        if name == "workers":
            most = max(_THREADS, _THREADS_A_CORE * (os.cpu_count() or 1))
        if isinstance(value, int) and value > most:
            raise InputError(f"--{name} must be at most {most}, got {value}")


def split_names(names: str) -> list[str]:
    """Return the names in a text with commas between."""
    return [name.strip() for name in names.split(",") if name.strip()]


def run(
    main: Callable[[C], int | None],
    config: type[C],
    argv: Sequence[str] | None = None,
    name: str | None = None,
) -> None:
    """Parse the command line, see that its output may be written, call `main` and exit with its code.

    Ctrl-C ends it with 130, SIGTERM with 143.

    An `InputError` or a `ServiceError` ends it with code 2, and is printed as one line ``error: ...`` on
    stderr; so is a library that is missing, if an extra of this project installs it, a file that must not be used, and
    memory that does not suffice. Any other exception keeps its traceback. A pipe that closes ends nothing.
    """
    outlive_readers()
    end_with_accelerate()
    with terminable():
        try:
            options = parse_command(config, argv, name)
            if output := getattr(options, "output", None):
                check_output(output)
            for libraries in getattr(config, "LIBRARIES", ()):
                libraries.check()
            code = main(options)
            sys.stdout.flush()
        except (InputError, ServiceError) as error:
            _fail(str(error))
        except ModuleNotFoundError as error:
            extra = extra_with(error.name or "")
            if extra is None:
                raise
            _fail(f"{error.name} is not installed: {install_extra(extra)}")
        except (MemoryError, RuntimeError, OSError) as error:
            if is_out_of_memory(error):
                _fail(f"out of memory ({str(error)[:200]}): {_LESS_MEMORY}")
            if not isinstance(error, OSError) or error.errno not in _FORBIDDEN or error.filename is None:
                raise
            _fail(f"cannot use {error.filename}: {error.strerror}")
        except KeyboardInterrupt as stop:
            _stop(stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT), config)
    sys.exit(code or 0)


def _fail(message: str) -> NoReturn:
    """Print why the command ends, tell the processes that wait to meet it, and end it with code 2."""
    line = f"error: {_one_line(message)}"
    _print(f"{_RULE}\n{line}\n{_RULE}\n{_FOLLOWS}" if is_launched() else line)
    if "music.processes" in sys.modules:  # without it there are none, and it loads torch
        from music.processes import end_others

        end_others(_one_line(message))
    sys.exit(2)


def _stop(stop: Stopped, config: type) -> NoReturn:
    """Print what has stopped the command, and end it with the signal's code."""
    if not stop.state and any(field.name == "output" for field in dataclasses.fields(config)):
        stop = Stopped(stop.number, "what is finished stays, and the same command goes on from there")
    _print(str(stop))
    sys.exit(128 + stop.number)


def _print(lines: str) -> None:
    """Print lines on stderr, below the progress bars and in one piece, as other processes print there too."""
    for module in filter(None, map(sys.modules.get, ("tqdm.std", "tqdm.auto"))):
        for bar in list(getattr(module.tqdm, "_instances", ())):  # each kind of bar keeps its own
            bar.close()
    sys.stderr.write(f"{lines}\n")
    sys.stderr.flush()


def _told(error: jsonargparse.ArgumentError) -> str:
    return _WRONG_CHOICE.sub(r"--\1 must be one of \2, got \3", _one_line(str(error)))


def _check_names(words: Sequence[str]) -> None:
    """`InputError` for what no record of the run could hold, and for a file of options that is none."""
    try:
        here = os.getcwd()
    except OSError as error:
        raise InputError(f"the working directory cannot be used: {error.strerror}") from error
    for word in (here, sys.argv[0], *words):
        if not is_unicode(word):
            raise InputError(f"{word!a} is not UTF-8: rename what it names")
    files = [after for word, after in itertools.pairwise(words) if word == "--config"]
    files += [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    for file in map(os.path.expanduser, files):
        if not is_pipe(file):
            check_file(file, "file of options")


def _meant(option: str, value: Any) -> Any:
    """Return a value with ``~`` as the home folder, and refuse what no file can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: _meant(name, getattr(value, name)) for name in names})
    if isinstance(value, list):
        return [_meant(option, one) for one in value]
    if not isinstance(value, str | Path):
        return value
    if "\0" in str(value) or not is_unicode(str(value)):
        raise InputError(f"--{option} is {str(value)!a}, which is no text that a file could hold")
    if isinstance(value, Path):
        return Path(os.path.expanduser(value))
    return _HOME.sub(lambda _: os.path.expanduser("~"), value)


def _parser_of(config: type, name: str) -> jsonargparse.ArgumentParser:
    jsonargparse.set_parsing_settings(docstring_parse_style=docstring_parser.DocstringStyle.NUMPYDOC)
    examples = "".join(f"  {example}\n" for example in examples_of(config))
    parser = _Parser(
        prog=name,
        description=_first_line(config),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=_Formatter,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with options; later options win.")
    types = typing.get_type_hints(config)
    positionals = positionals_of(config)
    for option in positionals:
        kind = types[option]
        number: dict[str, Any] = {}
        if typing.get_origin(kind) is list:
            kind, number = typing.get_args(kind)[0], {"nargs": "+"}
        elif _default_of(config, option) is not dataclasses.MISSING:
            number = {"nargs": "?", "default": argparse.SUPPRESS}  # left out, it leaves --config files alone
        parser.add_argument(option, type=kind, help=help_of(config, option), **number)
    for part, names in _sections(config):
        group = parser.add_argument_group(
            "options of this command" if part is config else _first_line(part).rstrip(".")
        )
        for option in names:
            if option not in positionals:
                default = _default_of(config, option)
                given: dict[str, Any] = (
                    {"required": True} if default is dataclasses.MISSING else {"default": default}
                )
                group.add_argument(f"--{option}", type=types[option], help=help_of(config, option), **given)
    parser.renamed = renamed_of(config)
    for old, new in parser.renamed.items():
        parser.add_argument(f"--{old}", type=types[new], default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _sections(config: type) -> Iterator[tuple[type, list[str]]]:
    """Yield a command with its own options, then what it inherits with theirs."""
    left = {field.name for field in dataclasses.fields(config)}
    for part in config.__mro__:
        own = [name for name in vars(part).get("__annotations__", {}) if name in left]
        left.difference_update(own)
        if own:
            yield part, own


def _first_line(config: type) -> str:
    return (config.__doc__ or "").strip().splitlines()[0]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _default_of(config: type, option: str) -> Any:
    return next(field.default for field in dataclasses.fields(config) if field.name == option)
