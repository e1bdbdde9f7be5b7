"""Every command of the project: found by name, helpful, explained, and imported only when it is asked for."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from music.command import examples_of, help_of, options_of, parse_command
from music.console import COMMANDS
from music.errors import InputError
from music.subcommands import Command, dispatch


def commands(
    table: Mapping[str, Command] = COMMANDS, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, Command]]:
    """Yield every command that runs something, by its words."""
    for word, command in table.items():
        module, _, attribute = command.place.partition(":")
        if attribute.isupper():
            yield from commands(getattr(importlib.import_module(module), attribute), (*words, word))
        else:
            yield " ".join((*words, word)), command


ALL = dict(commands())


def config_of(command: Command) -> type:
    module, _, attribute = command.place.partition(":")
    found = importlib.import_module(module)
    assert callable(found.main)
    return getattr(found, attribute)


@pytest.mark.parametrize("words", ALL)
def test_help_names_the_command_and_explains_every_option(words, capsys):
    config = config_of(ALL[words])
    with pytest.raises(SystemExit) as stop:
        parse_command(config, ["--help"], f"music-reward {words}")
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"usage: music-reward {words} ")
    assert "__main__" not in told
    for option in options_of(config):
        explained = help_of(config, option)
        assert explained, f"--{option} has no help"
        assert re.match(r"[A-Z0-9\"`]", explained), f"--{option} reads: {explained}"
        assert not re.match(r"(Of|As in|To) ", explained), f"--{option} begins without its noun: {explained}"
        assert explained.rstrip().endswith((".", ")", "...", ":")), f"--{option} is no sentence: {explained}"


@pytest.mark.parametrize("words", ALL)
def test_help_shows_an_example_whose_options_are_real(words):
    config = config_of(ALL[words])
    module = ALL[words].place.partition(":")[0]
    package, last = module.rpartition(".")[0], words.split()[-1]
    starts = (
        f"music-reward {words}",
        f"music-reward --num_processes 2 {words}",
        f"{module.replace('.', '/')}.py",
        f"-m {module}",
        f"-m {module.removesuffix('.command')}",
        f"-m {package.removesuffix('.building').removesuffix('.serving').removesuffix('.analysis')} {last}",
    )
    found = [
        example.partition(start)[2]
        for example in examples_of(config)
        for start in starts
        if re.search(rf"{re.escape(start)}( |$)", example)
    ]
    assert found
    for arguments in found:
        if "--config" not in arguments:
            parse_command(config, shlex.split(arguments, comments=True))


def test_a_table_lists_its_commands_and_guesses_a_misspelt_one(capsys):
    dispatch("music-reward", "About.", COMMANDS, [])
    listed = capsys.readouterr().out
    assert all(f"  {word} " in listed for word in COMMANDS)
    with pytest.raises(SystemExit) as stop:
        dispatch("music-reward", "About.", COMMANDS, ["listening-test", "biuld"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean build?" in error


def test_a_command_is_imported_only_when_it_is_asked_for():
    code = "import sys, music.console as c; sys.argv[1:] = ['--help']; c.main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scaling", "reward", "rlhf", "experiments"} & set(
        done.stdout.split("\n")[-2].split()
    )


@pytest.mark.parametrize(
    "launch", [["-m", "music.console", "best-of-n"], ["-m", "scaling.best_of_n"], ["scaling/best_of_n.py"]]
)
def test_usage_is_what_was_typed(launch):
    done = subprocess.run([sys.executable, *launch, "--help"], capture_output=True, text=True, check=True)
    typed = {"music.console": "music-reward best-of-n", "scaling.best_of_n": "python -m scaling.best_of_n"}
    assert done.stdout.startswith(f"usage: {typed.get(launch[1] if launch[1:] else '', launch[0])} ")


FINISHED = {  # commands that leave a run.json, with what they must be given
    "best-of-n": (),
    "search": (),
    "evaluate": ("pool",),
    "benchmark": (),
    "train-reward": ("--train", "rows.jsonl", "--validation", "rows.jsonl"),
    "data prepare": ("--source", "somewhere", "--format", "cmi"),
    "judge": ("pairs.jsonl", "--model", "judge", "--export", "true"),
    "post-train": (),
    "assess": ("--models", "model"),
    "listening-test build": ("a=b,c=d",),
    "listening-test analyze": ("study",),
    "analyses arena": ("--results", "results.jsonl"),
    "analyses windows": (),
    "analyses leaderboard": ("--pools", "pool"),
    "analyses anchors": ("--results", "results.jsonl"),
    "analyses mirex": ("--data", "data.json"),
}


@pytest.mark.parametrize("words", FINISHED)
def test_no_command_works_in_the_folder_of_another(words, tmp_path):
    record = tmp_path / "run.json"
    record.write_text('{"command": ["python", "/x/reward/other.py"], "job": "Other"}')
    config = parse_command(config_of(ALL[words]), [*FINISHED[words], "--output", str(tmp_path)])
    main = importlib.import_module(ALL[words].place.partition(":")[0]).main
    with pytest.raises(InputError, match=r"holds the results of another command \(reward/other\.py\)"):
        main(config)
    assert list(tmp_path.iterdir()) == [record]
