"""Every command and every Python block of the pages runs, on small models and few prompts; none is passed over."""

import json
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import metadata
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.ab_test.running_server import RunningServer
from tests.docs.pages import ALL_PAGES, PAGES, ROOT, Command, blocks, commands, commands_in_text
from tests.docs.program import Program, program_of
from tests.reward.judge_server import JudgeServer

FEW = "--limit 2 --seconds 1"
#: what runs, and the further options with which it takes seconds
RUN = {
    "scaling.best_of_n": FEW,
    "scaling.search": f"{FEW} --schedule 0.5=0.5",  # so late that previews can be heard
    "scaling.evaluate": "",
    "generators.list": "",
    "generators.sample": "--seconds 1",
    "reward.score": "",
    "reward.data.prepare": "",
    "reward.data.check": "",
    "reward.data.stats": "",
    "reward.embed": "",
    "reward.train": "--steps 2 --batch_size 4 --dim_head 8",
    "reward.train_curves": "",
    "reward.benchmark": "",
    "rlhf.train": f"{FEW} --n 2 --rounds 1 --steps 1 --batch_size 2 --micro_batch_size 2 --samples 1",
    "rlhf.assess": f"{FEW} --n 2",
    "experiments.search.previews": f"{FEW} --n 3 --shares 0.5 --schedules 0.5=0.5",
    "rlhf.loop": f"{FEW} --n 4 --rounds 1 --budget 8 --learn heads --steps 1 --batch_size 4",
    "experiments.ab_test.build": "--sample 2 --raters 2 --catches 0 --repeats 0 --identicals 0 --minimum_listening 0.2",
    "experiments.ab_test.check": "",
    "experiments.ab_test.plan": "",
    "experiments.ab_test.simulate": "--raters 4",
    "experiments.ab_test.export": "--screening.seconds 0",
    "experiments.ab_test.analyze": "--screening.seconds 0",
    "reward.judge": "",
    "experiments.ab_test.static": "",
}
#: what is only parsed, by its own parser, and why
PARSED = {
    "scaling.plan": "counts models of the true size; tests/scaling/test_plan.py",
    "scaling.browse": "serves until Ctrl-C; tests/scaling/test_browse.py",
    "experiments.ab_test.demo": "serves until Ctrl-C; tests/ab_test/test_end_to_end.py serves",
    "experiments.analyses.arena": "needs hundreds of votes; tests/analyses/test_arena.py",
    "experiments.analyses.anchors": "needs hundreds of votes; tests/analyses/test_anchors.py",
    "experiments.analyses.leaderboard": "needs several generators; tests/analyses/test_leaderboard.py",
    "experiments.analyses.windows": "needs clips of many lengths; tests/analyses/test_windows.py",
    "experiments.analyses.mirex": "needs labelled pairs; tests/analyses/test_mirex.py",
    "experiments.ablations": "hours; tests/experiments/test_ablations.py",
    "experiments.post_training": "hours; tests/experiments/test_post_training.py",
    "experiments.search": "hours; tests/scaling/test_compare_searches.py",
    "experiments.acquisition": "hours; tests/experiments/test_acquisition.py",
    "experiments.benchmarks.generation": "models of the true size; tests/experiments/test_generation_benchmark.py",
    "experiments.benchmarks.stable_audio": "models of the true size; tests/experiments/test_generation_benchmark.py",
    "experiments.benchmarks.scoring": "models of the true size; tests/experiments/test_scoring_benchmark.py",
    "experiments.benchmarks.embedding": "models of the true size; tests/experiments/test_scoring_benchmark.py",
    "experiments.benchmarks.search": "models of the true size; tests/experiments/test_search_benchmark.py",
    "experiments.benchmarks.memory": "models of the true size; tests/experiments/test_generation_benchmark.py",
    "experiments.benchmarks.numeric_types": "tests/experiments/test_numeric_types.py",
    "experiments.lab.train": "hours; tests/lab/test_lab_training.py",
    "experiments.lab.pairs": "thousands of songs; tests/lab/test_pairs.py",
    "experiments.lab.check": "thousands of songs; tests/lab/test_lab_suite.py",
    "experiments.lab.fact_gains": "needs a pool of another page; tests/lab/test_fact_gains.py",
    "experiments.lab.gold_agreement": "needs a pool of the page before; tests/lab/test_gold.py",
    "experiments.lab.gold_check": "hundreds of songs; tests/lab/test_gold.py",
    "experiments.lab.prove": "half an hour; tests/lab/test_prove.py",
    "experiments.lab.show": "writes a picture of songs; tests/lab/test_lab_songs.py",
    "experiments.lab.vae_check": "a hundred songs; tests/lab/test_train_stable_audio.py",
    "experiments.lab.judgement_sets": "thousands of songs; tests/lab/test_judgement_sets.py",
    "experiments.lab.judge_server": "serves until Ctrl-C; tests/lab/test_judge_server.py",
}
#: commands, by what they hold, that are only parsed where others of their kind run
PARSED_WHERE = {
    "paper_musicgen_small.yaml": "10 candidates of 10 s; tests/experiments/test_paper_configs.py",
    "paper_stable_audio_open_small.yaml": "likewise",
    "paper_listening_test.yaml": "needs recordings of MusicCaps; tests/ab_test/test_commands.py",
    "rlhf_fsdp.yaml": "several GPUs; tests/rlhf/test_fsdp.py",
    "--print_config": "ends after printing; see the test of it below",
    "--config run.yaml": "as the line above it printed",
    "runs/after": "needs a reward that people have taught; tests/ab_test/test_loop_with_people.py",
    "cmi_rm_head_": "33 to 102 million parameters; tests/experiments/test_cmi_rm_configs.py",
    "lab-held-out": "128 prompts; tests/rlhf/test_watching.py",
    "--policy": "a training in each round; tests/rlhf/test_loop.py",
    "runs/lab/pairs": "thousands of songs; tests/lab/test_judge_server.py",
}
#: commands that need what `reward.benchmark` takes minutes to make
LAB_BENCHMARK = "music-reward benchmark"
SERVE = "experiments.ab_test.serve"


def works(command: Command) -> None:
    """Run a command, or parse it if the tables say so; `AssertionError` if they say nothing."""
    first, *rest = command.words
    if first == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), rest
        return
    if first == "pip":
        return installs(rest)
    if first == ".":
        assert rest == [".venv/bin/activate"]
        return
    if first == "docker":
        assert str(command) in (ROOT / "Dockerfile").read_text()
        return
    if first == "export":
        assert re.fullmatch(r"OMP_NUM_THREADS=1", rest[0])
        return
    program = program_of(command.words)
    if program.job in PARSED or any(part in str(command) for part in PARSED_WHERE):
        if "--print_config" not in command.words and "run.yaml" not in command.words:
            program.parse()
    elif str(command) == LAB_BENCHMARK:
        program.parse()
    else:
        if program.job == SERVE:  # a server runs beside the raters whom it is for
            program = Program("experiments.ab_test", ["simulate", str(Path(program.arguments[-1]).parent)])
        assert program.job in RUN, f"a command that no table knows: {command}"
        places = [
            str(Path(place).resolve()) for place in command.settings.get("PYTHONPATH", "").split(":") if place
        ]
        with patch.object(sys, "path", [*places, *sys.path]), server_of(program) as address:
            program.run(*shlex.split(RUN[program.job]), *address)


@contextmanager
def server_of(program: Program) -> Iterator[list[str]]:
    """Run what a program talks to, if anything, and yield the option that says where."""
    if program.job == "experiments.ab_test.simulate":
        with RunningServer(
            Path(program.arguments[program.arguments.index("simulate") + 1], "blinded").resolve()
        ) as server:
            yield ["--address", server.address]
    elif program.job == "reward.judge":
        judge = JudgeServer()
        yield ["--endpoint", judge.url]
        judge.http.shutdown()
    else:
        yield []


def installs(words: list[str]) -> None:
    """Check that what `pip install` is told to install is there."""
    extras = metadata("music-reward").get_all("Provides-Extra")
    assert words[0] == "install"
    for word in words[1:]:
        if found := re.fullmatch(r"\.\[(.*)\]", word):
            assert set(found[1].split(",")) <= set(extras), word
        elif not word.startswith("-") and word != ".":
            assert (ROOT / word).is_file(), word


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_page_says_runs(page, workspace, capsys):
    for block in blocks(page):
        if block.language == "bash":
            for command in commands(block.text):
                works(command)
        elif block.language == "python":
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message=".* is called .* now")
                exec(compile(block.text, page.name, "exec"), {"__name__": "page"})
        elif block.language == "json":
            assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())
        else:
            assert block.language == "text", f"a block in {block.language!r} that no test runs"
    old_names = re.findall(r"note: .* is called .* now", capsys.readouterr().err)
    assert old_names == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.parent.name + "/" + page.name)
def test_commands_in_the_text_exist_and_have_these_options(page):
    for words in commands_in_text(page):
        if words[0] == "make":
            works(Command({}, words))
        elif words[0] == "pip":
            installs(words[1:])
        elif len(words) > 2:
            program = program_of([word for word in words if word != "..."])
            if re.search(r"[A-Z]{3}", program.job) or program.name == "SCRIPT":
                continue  # a word that stands for any command
            known = program.options()
            asked = {word[2:] for word in program.arguments if word.startswith("--")}
            assert asked <= known, f"{words}: no option {asked - known}"


def test_a_printed_config_is_read_back(workspace, capsys):
    Program("scaling/best_of_n.py", ["--n", "10", "--seconds", "10", "--print_config"]).run()
    (workspace / "run.yaml").write_text(capsys.readouterr().out)
    Program("scaling/best_of_n.py", ["--config", "run.yaml"]).parse()


def test_tables_name_tests_that_exist():
    told = " ".join([*PARSED.values(), *PARSED_WHERE.values()])
    files = re.findall(r"tests/\S+\.py", told)
    assert len(files) > 20
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_a_command_that_no_table_knows_is_found():
    with pytest.raises(AssertionError, match="no table knows"):
        works(Command({}, ["python", "-m", "reward.unheard", "--of"]))
    with pytest.raises(AssertionError):
        works(Command({}, ["curl", "x"]))
