"""Command lines: options from dataclasses, mistakes in one line with exit code 2."""

import errno
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import ClassVar, Literal

import pytest
import torch

from experiments.ab_test.__main__ import COMMANDS as LISTENING_TESTS
from music.command import parse_command, refuse_below_one, refuse_negative, run
from music.errors import InputError
from music.optional_libraries import OptionalLibraries
from music.subcommands import Command, dispatch
from reward.scoring.options import RowScoring

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Seeded:
    """Draw.

    Attributes
    ----------
    seed
        Seed.
    """

    seed: int | None = None


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


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_library_takes_is_refused(seed):
    assert parse_command(Seeded, []).seed is None
    assert parse_command(Seeded, [f"--seed={2**63 - 1}"]).seed == 2**63 - 1
    with pytest.raises(InputError, match=f"--seed must be from 0 to {2**63 - 1}, got {seed}"):
        parse_command(Seeded, [f"--seed={seed}"])


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


def test_a_launcher_that_reports_an_error_too_does_not_bury_it(capsys, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(SystemExit):
        run(lambda config: None, Config, ["--n", "0"])
    rule, error, again, report = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert rule == again == "-" * 80
    assert "the launcher's report" in report


def test_an_error_stands_on_a_line_of_its_own_below_the_bars(capsys):
    from tqdm import auto, std

    def main(config):
        bars.extend(kind.tqdm(total=3, mininterval=0) for kind in (std, auto))
        for bar in bars:
            bar.update()
        raise InputError("bad row")

    bars = []
    with pytest.raises(SystemExit):
        run(main, Config, [])
    assert capsys.readouterr().err.splitlines()[-1] == "error: bad row"


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("n: 1\nsource: café\n".encode("latin-1"), r"c\.yaml is not UTF-8 text \(byte 16\)"),
        ("n: 1\n".encode("utf-16"), r"c\.yaml is not UTF-8 text \(byte 0\)"),
        (b"n: " + b"[" * 100_000, r"c\.yaml: .*nesting depth"),
        (b"n: [", r"c\.yaml: Problems parsing config"),
        (b"dtype: int8", r"c\.yaml: --dtype must be one of 'float32', 'bfloat16', got int8"),
        (b'source: "a\\0b"', r"--source is 'a\\x00b', which is no text that a file could hold"),
    ],
)
def test_a_file_of_options_that_cannot_be_used_is_named(tmp_path, content, message):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        parse_command(Config, ["--config", str(tmp_path / "c.yaml")])


def test_options_come_through_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"n: 3")
    os.close(writing)
    assert parse_command(Config, ["--config", f"/dev/fd/{reading}"]) == Config(n=3)
    os.close(reading)


@pytest.mark.parametrize("given", [["--config", "{}"], ["--config={}"]])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.yaml", "does not exist"),
        ("x" * 300, "cannot be opened: File name too long"),
        (".", "is a folder"),
    ],
)
def test_why_a_file_of_options_cannot_be_opened(tmp_path, given, name, message):
    with pytest.raises(InputError, match=f"file of options .* {message}"):
        parse_command(Config, [word.format(tmp_path / name) for word in given])


def test_a_file_of_options_is_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "c.yaml").write_text("source: naïve\n", encoding="utf-8-sig")
    code = "import sys; from tests.music.test_command import Config, parse_command; "
    code += "print(ascii(parse_command(Config, sys.argv[1:]).source))"
    command = [sys.executable, "-X", "utf8=0", "-c", code, "--config", str(tmp_path / "c.yaml")]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.stdout == "'na\\xefve'\n", ran.stderr


def test_the_home_folder_in_options_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "c.yaml").write_text("output: ~/run\nsource: ~/a.jsonl\n")
    wanted = Config("/home/me/a.jsonl", output=Path("/home/me/run"))
    assert parse_command(Config, ["--config", str(tmp_path / "c.yaml")]) == wanted
    assert parse_command(Config, ["~/a.jsonl", "--output=~/run"]) == wanted
    several = parse_command(Config, ["one=~/a:2,two=folder:~/b,~/c.txt:0.5,d~/e,~f/g"]).source
    assert several == "one=/home/me/a:2,two=folder:/home/me/b,/home/me/c.txt:0.5,d~/e,~f/g"


def test_names_that_no_record_could_hold_are_refused_before_the_work(tmp_path, monkeypatch):
    name = os.fsdecode(b"caf\xe9")
    for argv in ([name], ["--output", f"a/{name}"], [f"--output={name}"]):
        with pytest.raises(InputError, match=r"caf\\udce9' is not UTF-8: rename what it names"):
            parse_command(Config, argv)
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(InputError, match=r"caf\\udce9' is not UTF-8: rename what it names"):
        parse_command(Config, [])
    (tmp_path / name).rmdir()
    with pytest.raises(InputError, match="working directory cannot be used: No such file"):
        parse_command(Config, [])


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        run(
            lambda config: pytest.fail("work was begun"), Config, ["--output", str(tmp_path / "file" / "run")]
        )
    assert ended.value.code == 2
    assert "file is a file; choose another --output" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["name too long", "no such file"])
def test_a_file_that_must_not_be_used_is_named_and_a_defect_keeps_its_traceback(tmp_path, capsys, kind):
    name = "x" * 300 if kind == "name too long" else "x"

    def main(config):
        (tmp_path / name).read_text()

    with pytest.raises(SystemExit if kind == "name too long" else FileNotFoundError) as ended:
        run(main, Config, [])
    if kind == "name too long":
        assert ended.value.code == 2
        assert capsys.readouterr().err == f"error: cannot use {tmp_path / name}: File name too long\n"


@dataclass(frozen=True)
class Needy(Config):
    """Do a thing with libraries."""

    LIBRARIES: ClassVar = (OptionalLibraries("the thing", ("json", "not_installed"), "pip install it"),)


def test_a_command_without_its_libraries_does_not_begin(capsys):
    with pytest.raises(SystemExit) as left:
        run(lambda config: pytest.fail("it began"), Needy, [])
    assert left.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: the thing needs not_installed, which is not installed: pip install it\n"
    )


def test_a_subcommand_whose_module_lacks_a_library_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(sys.modules, "experiments.ab_test.serving.tables", raising=False)
    table = {"keep": Command("experiments.ab_test.serving.tables:Base", "keep answers")}
    with pytest.raises(SystemExit) as left:
        dispatch("test", "Tests.", table, ["keep"])
    assert left.value.code == 2
    assert re.fullmatch(r"error: sqlalchemy is not installed: .*\[listening\]\"?\n", capsys.readouterr().err)


def test_all_listening_tests_but_plans_need_their_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    for word, command in LISTENING_TESTS.items():
        libraries = getattr(resolve_name(command.place), "LIBRARIES", ())
        assert [one.missing() for one in libraries] == ([] if word == "plan" else ["krippendorff"])


@dataclass(frozen=True)
class Counts:
    batch_size: int = 1
    n: int = 1
    workers: int = 1
    limit: int | None = None
    beta: float = 0.1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 100_000_000}, "--batch_size must be at most 65536, got 100000000"),
        ({"n": 10_000_000_000}, "--n must be at most 1000000, got 10000000000"),
        ({"workers": 100_000}, "--workers must be at most [0-9]+, got 100000"),
        ({"limit": 10**30}, "--limit must be at most 2147483647, got 1000"),
        ({"n": 0}, "--n must be at least 1, got 0"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        refuse_below_one(Counts(**given), *given)
    refuse_below_one(Counts(batch_size=65_536, n=1_000_000, workers=64, limit=10**9), *given)
    refuse_negative(Counts(beta=1e300), "beta")


@pytest.mark.parametrize("option", ["workers", "limit"])
def test_scoring_refuses_it_too(option):
    with pytest.raises(InputError, match=f"--{option} must be at most"):
        RowScoring(**{option: 10**12})
