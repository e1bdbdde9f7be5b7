"""What a documented command runs: found, parsed by its own parser, and run in this process."""

import contextlib
import io
import runpy
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import music.command
from music.console import COMMANDS
from music.distributed.launching import count_of
from music.subcommands import Command
from tests.docs.pages import ROOT


@dataclass(frozen=True)
class Program:
    """A module (``reward.score``) or a script (``scaling/best_of_n.py``), and its arguments."""

    name: str
    arguments: list[str]

    @property
    def job(self) -> str:
        """What it does, in one way of writing however it is started: ``scaling.best_of_n``, ``reward.data.prepare``."""
        words = [self.name.removesuffix(".py").replace("/", "."), *self.arguments]
        if words[0] == "music.console":
            words[:2] = [_place(COMMANDS[words[1]])]
        return ".".join(words[:2]).replace("-", "_") if words[0] in _DISPATCHERS else words[0]

    def run(self, *more: str) -> None:
        """Run it as `python` would, with further arguments behind its own; it must end well."""
        is_script = self.name.endswith(".py")
        argv = [str(ROOT / self.name) if is_script else self.name, *self.arguments, *more]
        code: Any = 0
        with patch.object(sys, "argv", argv), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy|<frozen runpy>")
            try:
                if is_script:
                    runpy.run_path(argv[0], run_name="__main__")
                else:
                    runpy.run_module(self.name, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code
        assert not code, f"{self.name} ended with {code}"

    def parse(self) -> None:
        """Let its own parser read the arguments, and stop there."""
        with _stopped_after(music.command.parse_command):
            self.run()

    def options(self) -> set[str]:
        """Return the names of its options."""
        with _stopped_after(lambda config, *_: set(config.__dataclass_fields__)) as found:
            self.run()
        return found[0] | {"help", "config", "print_config"}


_DISPATCHERS = (
    "generators",
    "reward.data",
    "experiments.ab_test",
    "experiments.analyses",
    "experiments.lab",
    "experiments.benchmarks",
)


def _place(command: Command) -> str:
    return command.place.partition(":")[0].removesuffix(".__main__").removesuffix(".command")


class _Stopped(BaseException):
    """Ends a command once its arguments are read."""


@contextlib.contextmanager
def _stopped_after(read: Any) -> Iterator[list[Any]]:
    found: list[Any] = []

    def stop(*arguments: Any) -> None:
        found.append(read(*arguments))
        raise _Stopped

    with patch("music.command.parse_command", stop):
        try:
            yield found
        except _Stopped:
            return
    raise AssertionError("the command never read its arguments")


def program_of(words: list[str]) -> Program:
    """Return what a command line starts, through any launcher; the launcher's own options must be real ones."""
    with contextlib.redirect_stderr(io.StringIO()) as told:
        try:
            launcher, *rest = words
            if launcher == "python":
                return Program(rest[1], rest[2:]) if rest[0] == "-m" else Program(rest[0], rest[1:])
            if launcher == "music-reward":
                return Program("music.console", count_of(rest)[1])
            if launcher == "accelerate":
                from accelerate.commands.launch import launch_command_parser

                launched = launch_command_parser().parse_args(rest[1:])
                return Program(launched.training_script, launched.training_script_args)
            if launcher == "torchrun":
                from torch.distributed.run import get_args_parser

                launched = get_args_parser().parse_args(rest)
                return Program(launched.training_script, launched.training_script_args)
        except SystemExit as end:
            raise AssertionError(f"{words}: {told.getvalue()}") from end
    raise AssertionError(f"no test knows what {launcher} is: {words}")
