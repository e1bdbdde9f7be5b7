"""Command lines: options from dataclasses, mistakes in one line with exit code 2."""

import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch

from music.command import parse_command, refuse_below_one, run
from music.errors import InputError


@dataclass(frozen=True)
class Config:
    """Do a thing.

    Attributes
    ----------
    source
        Where from.
    n
        How many.
    dtype
        Numeric type.
    output
        Where to.
    """

    POSITIONALS: ClassVar = ("source",)

    source: str = "lab"
    n: int = 10
    dtype: Literal["float32", "bfloat16"] = "float32"
    output: Path = Path("runs")

    def __post_init__(self) -> None:
        refuse_below_one(self, "n")


def test_options_and_defaults():
    assert parse_command(Config, []) == Config()
    assert parse_command(Config, ["--n", "3", "--output", "a/b"]) == Config(n=3, output=Path("a/b"))


def test_config_files_and_later_options(tmp_path):
    (tmp_path / "c.yaml").write_text("n: 4\ndtype: bfloat16\n")
    assert parse_command(Config, ["--config", str(tmp_path / "c.yaml"), "--n", "5"]) == Config(
        "lab", 5, "bfloat16"
    )


@dataclass(frozen=True)
class Required:
    """Do a thing.

    Attributes
    ----------
    source
        Where from.
    n
        How many.
    """

    POSITIONALS: ClassVar = ("source", "n")

    source: str
    n: int = 1


def test_positionals(tmp_path):
    assert parse_command(Config, ["here", "--n", "2"]) == Config("here", 2)
    assert parse_command(Config, ["--n", "2"]) == Config("lab", 2)
    assert parse_command(Required, ["here", "4"]) == Required("here", 4)
    assert parse_command(Required, ["here"]) == Required("here")
    with pytest.raises(InputError, match="source"):
        parse_command(Required, [])
    with pytest.raises(InputError, match="--dtype must be one of 'float32', 'bfloat16', got int8"):
        parse_command(Config, ["--dtype", "int8"])
    (tmp_path / "c.yaml").write_text("source: there\n")  # a positional that is left out does not undo it
    options = ["--config", str(tmp_path / "c.yaml")]
    assert parse_command(Config, options) == Config("there")
    assert parse_command(Config, [*options, "here"]) == Config("here")


def test_help_and_print_config(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_command(Config, ["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "Do a thing." in text
    assert "How many." in text
    with pytest.raises(SystemExit) as stop:
        parse_command(Config, ["--n", "7", "--print_config"])
    assert stop.value.code == 0
    assert "n: 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ["--n", "0"],
        ["--n", "many"],
        ["--nn", "3"],
        ["--dtype", "int8"],
        ["--config", "gone.yaml"],
        ["here", "stray"],
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        run(lambda config: pytest.fail("must not run"), Config, argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def raising(error):
    def main(config):
        raise error

    return main


def test_exit_codes(capsys):
    for main, code in [
        (lambda config: None, 0),
        (lambda config: 1, 1),
        (raising(InputError("bad\nrow")), 2),
        (raising(KeyboardInterrupt()), 130),
    ]:
        with pytest.raises(SystemExit) as stop:
            run(main, Config, [])
        assert stop.value.code == code
    assert "error: bad row\n" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):  # a defect keeps its traceback
        run(raising(ZeroDivisionError()), Config, [])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124]\nDefaultCPUAllocator: can't allocate memory"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_is_one_line(error, capsys):
    with pytest.raises(SystemExit) as stop:
        run(raising(error), Config, [])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("error: out of memory (")
    assert "smaller batches" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(5, "Input/output error")])
def test_other_errors_of_libraries_keep_their_traceback(error):
    with pytest.raises(type(error), match=str(error).split()[-1]):
        run(raising(error), Config, [])


def test_argv_of_the_process_is_the_default(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command.py", "--n", "6"])
    assert parse_command(Config).n == 6


@dataclass(frozen=True)
class Renamed:
    """An option that had another name.

    Attributes
    ----------
    new
        A number.
    """

    RENAMED: ClassVar = {"old": "new"}

    new: int = 1


def test_an_option_is_taken_under_its_old_name(tmp_path, capsys):
    (tmp_path / "old.yaml").write_text("old: 5\n")
    for argv in (["--old", "5"], ["--config", str(tmp_path / "old.yaml")]):
        assert parse_command(Renamed, argv) == Renamed(5)
        assert capsys.readouterr().err == "note: --old is called --new now\n"
        with pytest.raises(SystemExit):
            parse_command(Renamed, [*argv, "--print_config"])
        assert capsys.readouterr().out == "new: 5\n"
    with pytest.raises(InputError, match="--old is the old name of --new: give one of them"):
        parse_command(Renamed, ["--old", "5", "--new", "6"])
