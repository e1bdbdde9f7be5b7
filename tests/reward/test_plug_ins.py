"""Rewards of anybody's own: classes, functions, files, options, and what is said of those that cannot be used."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from music.clips import write_clip
from music.command import parse_command
from music.errors import InputError
from music.options import read_options
from music.prompts import Prompt
from reward import RewardWeights, ScoreRequest, load_scorer
from reward.baselines.batch_plug_in import BatchPlugIn
from reward.plug_ins import PlugIn
from reward.protocol import BrokenScorerError, scores_of
from reward.registry import load_reward
from reward.score import ScoreConfig
from reward.score import main as score
from reward.scoring.rows import score_rows

HEAD = """
from __future__ import annotations
import numpy, torch
from pathlib import Path
from reward import ScoreRequest
"""
JUDGE = """
class Judge:
    name, metrics, hash = "judge", ("m",), "1"
    def __init__(self, value=1.5, mode="a"):
        self.value, self.mode = value, mode
    def score(self, requests):
        return [{"m": VALUE} for _ in requests]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Return a working directory of our own, in which modules are imported afresh."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in {*sys.modules}:
        if name.startswith("plug_in_") or name == "mine":
            monkeypatch.delitem(sys.modules, name)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.fixture
def request_(here):
    soundfile.write(here / "a.wav", np.full(800, 0.5, dtype="float32"), 8000)
    return ScoreRequest(here / "a.wav", Prompt("p", "calm"))


def write(text, name="mine.py"):
    Path(name).write_text(HEAD + text)


@pytest.mark.parametrize(
    "value",
    ["numpy.float32(1.5)", "numpy.array([1.5])", "torch.tensor(1.5)", "torch.tensor([1.5])", "self.value"],
)
def test_whatever_kind_of_number_a_class_gives_is_a_float(request_, value):
    write(JUDGE.replace("VALUE", value))
    Path("in.jsonl").write_text(json.dumps({"id": "1", "audio": "a.wav"}) + "\n")
    assert score(ScoreConfig(input="in.jsonl", output="out.jsonl", reward="mine.py:Judge")) == 0
    assert json.loads(Path("out.jsonl").read_text())["m"] == 1.5


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("None", "m is None, not a number"),
        ("'1.5'", "m is '1.5', not a number"),
        ("[1.5, 2]", "m is [1.5, 2], not a number"),
        ("torch.ones(2)", "m is tensor([1., 1.]), not a number"),
        ("numpy.nan", "m is nan, not a finite number"),
        ("10**400", f"m is 1{59 * '0'}, not a number"),
        ("exit(3)", "judge fails: SystemExit: 3 (HERE/mine.py line 12)"),
        (
            "numpy.stack([])",
            "judge fails: ValueError: need at least one array to stack (HERE/mine.py line 12)",
        ),
        ("1 / 0", "judge fails: ZeroDivisionError: division by zero (HERE/mine.py line 12)"),
    ],
)
def test_what_is_no_number_is_the_error_of_its_row(request_, value, reason):
    write(JUDGE.replace("VALUE", value))
    Path("in.jsonl").write_text(json.dumps({"id": "1", "audio": "a.wav"}) + "\n")
    assert score(ScoreConfig(input="in.jsonl", output="out.jsonl", reward="mine:Judge")) == 1
    assert json.loads(Path("out.jsonl").read_text())["error"] == reason.replace("HERE", str(Path.cwd()))


def test_a_check_of_prompts_that_fails_is_named(here):
    write(f"{JUDGE}    def check_prompt(self, prompt): return prompt.facts['bpm']")
    with pytest.raises(InputError, match=r"^judge fails: KeyError: 'bpm' \(.*mine\.py line 13\)"):
        load_scorer("mine:Judge").check_prompt(Prompt("p", "calm"))


@pytest.mark.parametrize("given", ["[1.5]", "1.5", "None", "{'m': [1.5]}"])
def test_scores_of_another_form_end_the_run(request_, given):
    write(JUDGE.replace('[{"m": VALUE} for _ in requests]', given))
    with pytest.raises(BrokenScorerError, match="scorer judge must give a list with"):
        scores_of(load_scorer("mine:Judge"), [request_])


@pytest.mark.parametrize("name", ["mine:Judge", "mine.py:Judge", "./mine.py:Judge", "HERE/mine.py:Judge"])
def test_modules_and_files_are_found_from_the_working_directory(request_, name, monkeypatch):
    monkeypatch.setattr(
        sys, "path", [one for one in sys.path if one]
    )  # as a script launched by its path has it
    write(JUDGE.replace("VALUE", "1"))
    scorer = load_scorer(name.replace("HERE", str(Path.cwd())))
    assert scores_of(scorer, [request_]) == [{"m": 1.0}]


def test_a_file_called_like_a_library_does_not_stand_in_for_it(request_):
    write("import helper\n" + JUDGE.replace("VALUE", "helper.VALUE"), "soundfile.py")
    write("VALUE = 3", "helper.py")
    assert scores_of(load_scorer("./soundfile.py:Judge"), [request_]) == [{"m": 3.0}]
    assert sys.modules["soundfile"] is soundfile
    Path("other").mkdir()
    write(JUDGE.replace("VALUE", "4"), "other/soundfile.py")
    assert scores_of(load_scorer("other/soundfile.py:Judge"), [request_]) == [{"m": 4.0}]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (":Judge", "", "expected module:Name or FILE.py:Name, got ':Judge'"),
        ("mine:", "", "expected module:Name or FILE.py:Name, got 'mine:'"),
        ("mine.py", "", "name the class or function in mine.py: mine.py:NAME"),
        ("./gone.py:Judge", "", "there is no file gone.py"),
        (f"{'x' * 300}.py:Judge", "", "there is no file x"),
        ("gone_module:Judge", "", "there is no module gone_module: .* as in ./gone_module.py:Name"),
        ("../mine:Judge", "", "'../mine' is no name of a module"),
        ("mine:Nobody", "", r"mine:Nobody: .*mine.py has no 'Nobody'"),
        ("mine:VALUE", "VALUE = 3", "mine:VALUE is neither a class nor a function"),
        ("mine:A", "\n\nimport not_there", r"mine cannot be imported: .*'not_there' \(.*mine.py line 8\)"),
        ("mine.py:A", "1 / 0", r"mine.py cannot be imported: ZeroDivisionError.* \(.*mine.py line 6\)"),
        ("mine:A", "def broken(:", r"mine cannot be imported: SyntaxError.*mine.py, line 6"),
        ("mine:A", "exit(3)", "mine cannot be imported: SystemExit: 3"),
        ("mine:A", "class A:\n def __init__(self): 1 / 0", r"mine:A cannot be made: Zero.* line 7\)"),
        ("mine:A", "class A: name = 'a'", "A is not a scorer: it has no 'metrics'"),
        (
            "mine:A",
            JUDGE.replace('("m",)', '"m"').replace("Judge", "A"),
            "metrics of A must be a tuple of names",
        ),
        ("mine:A", JUDGE.replace('"1"', "1").replace("Judge", "A"), "hash of A must be a text, got 1"),
        (
            "mine:f",
            "def f(path, *, scale): return 1",
            "mine:f needs the option 'scale': give --reward_options",
        ),
        (
            "mine:f",
            "def f(path, text): return 1",
            "mine:f needs path and text: a clip is .* --reward_options text=V",
        ),
        ("mine:f", "async def f(path): return 1", "mine:f is async, which nothing here waits for"),
        ("mine:A", "class A:\n def __init__(self): exit(3)", "mine:A cannot be made: SystemExit: 3"),
        ("mine:A", "class A:\n score_batch = 1", "mine:A cannot be made: AttributeError: 'A' .*'sr'"),
        ("os:stat", "", "stat has no source file"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(here, name, text, reason):
    write(text)
    with pytest.raises(InputError, match=reason) as found:
        load_scorer(name)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("metrics = ('m', 'm')", "metrics of Judge must be a tuple of names, each once, got"),
        ("metrics = ('\\ud800',)", "metrics of Judge must be a tuple of names"),
        ("name = '\\ud800'", "name of Judge must be a text"),
        ("hash = property(lambda self: 1 / 0)", r"hash of Judge cannot be told: Zero.*mine\.py line 13\)"),
        ("score = 5", "score of Judge cannot be called: it is 5"),
        ("async def score(self, requests): return []", "score of Judge is async"),
        ("batch_size = '8'", "batch_size of Judge must be a whole number above 0, got '8'"),
        ("batch_size = 2.5", "batch_size of Judge must be a whole number above 0, got 2.5"),
        ("max_seconds = '10'", "max_seconds of Judge must be a number above 0, or None, got '10'"),
        ("max_seconds = -1", "max_seconds of Judge must be a number above 0"),
        ("features = 'MuQ'", "features of Judge must be a tuple of names, got 'MuQ'"),
    ],
)
def test_a_wrong_fact_of_a_class_is_told_before_any_work(here, fact, reason):
    write(f"{JUDGE}    {fact}")
    with pytest.raises(InputError, match=reason):
        load_scorer("mine:Judge")


def test_facts_of_other_libraries_types_are_taken(here):
    write(f"{JUDGE}    batch_size, max_seconds, features = numpy.int64(4), numpy.float32(2.5), {{'MuQ'}}")
    scorer = load_scorer("mine:Judge")
    assert (scorer.batch_size, scorer.max_seconds, scorer.features) == (4, 2.5, {"MuQ"})


@pytest.mark.parametrize("metric", ["error", "model", "audio", "audio_warning"])
def test_a_metric_called_like_a_field_of_rows_is_refused_before_any_work(request_, metric):
    write(JUDGE.replace('"m"', f'"{metric}"').replace("VALUE", "1"))
    Path("in.jsonl").write_text(json.dumps({"id": "1", "audio": "a.wav"}) + "\n")
    with pytest.raises(InputError, match=f"judge gives '{metric}', a field that rows have already: rename"):
        score(ScoreConfig(input="in.jsonl", output="out.jsonl", reward="mine:Judge"))


@pytest.mark.parametrize(
    "text",
    [
        f"import os; os.chdir('/'){JUDGE}",
        f"import os{JUDGE}    os.chdir('/')\n",
        JUDGE.replace("self.value,", "__import__('os').chdir('/'); self.value,"),
        JUDGE.replace("return [", "__import__('os').chdir('/'); return ["),
    ],
)
def test_code_that_leaves_the_working_directory_takes_nothing_with_it(request_, text):
    write(text.replace("VALUE", "1"))
    Path("in.jsonl").write_text(json.dumps({"id": "1", "audio": "a.wav"}) + "\n")
    assert score(ScoreConfig(input="in.jsonl", output="out.jsonl", reward="mine:Judge")) == 0
    assert json.loads(Path("out.jsonl").read_text())["m"] == 1.0


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ("def f(path): return numpy.float64(len(path.name))", 5.0),
        ("def f(path: str | Path): return len(str(path)) > 5", 1.0),
        ("def f(path: str): return len(path.split('/')[-1])", 5.0),
        ("def f(request): return len(request.prompt.text)", 4.0),
        ("def f(r: ScoreRequest): return len(r.prompt.text)", 4.0),
        ("def f(path, scale=2): return torch.tensor(scale)", 2.0),
        ("def f(path, device, dtype): return {'cpu': 1, 'float32': 2}[device]", 1.0),
        ("f = lambda path: 1", 1.0),
    ],
)
def test_a_plain_function_is_a_reward(request_, function, value):
    write(function)
    scorer = load_scorer("mine.py:f", device="cpu")
    assert (scorer.name, scorer.metrics) == ("f", ("f",))
    assert scores_of(scorer, [request_]) == [{"f": value}]


def test_torchaudio_can_be_imported_wherever_it_is_installed(request_, monkeypatch):
    pytest.importorskip("torchaudio")
    for name in {*sys.modules}:
        if name.split(".")[0] == "torchaudio":
            monkeypatch.delitem(sys.modules, name)  # as in a process that has not needed it yet
    write(
        "import torchaudio\ndef f(path): return torchaudio.transforms.Resample(8, 4)(torch.ones(8)).numel()"
    )
    assert scores_of(load_scorer("mine.py:f"), [request_]) == [{"f": 4.0}]


def test_a_function_that_makes_a_scorer_still_does(request_):
    write(JUDGE.replace("VALUE", "self.value") + "\ndef make(value=1): return Judge(value)")
    assert scores_of(load_scorer("mine:make", value=7), [request_]) == [{"m": 7.0}]


def test_the_hash_of_a_function_is_that_of_its_file_and_options(here):
    write("def f(path, scale=2): return scale")
    before = load_scorer("mine.py:f").hash
    assert load_scorer("./mine.py:f").hash == before
    assert load_scorer("mine.py:f", scale=3).hash != before
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/mine.py")
    assert load_scorer("elsewhere/mine.py:f").hash == before
    write("def f(path, scale=2): return scale + 1", "changed.py")
    assert load_scorer("changed.py:f").hash != before


def test_options_reach_the_class_and_are_part_of_its_hash(request_):
    write(JUDGE.replace("VALUE", "self.value if self.mode == 'b' else 0"))
    options = parse_command(
        ScoreConfig, ["--reward_options", "value=0.25,mode=b", "--reward", "mine:Judge", "i", "o"]
    )
    scorer = load_reward(options)
    assert scores_of(scorer, [request_]) == [{"m": 0.25}]
    assert scorer.hash != load_scorer("mine:Judge").hash == "1"
    for value in (
        object(),
        float("nan"),
    ):  # from Python anything can be handed over; it is not part of the hash
        assert load_scorer("mine:Judge", value=value).hash == "1"
    with pytest.raises(InputError, match="mine:Judge has no option 'size': it takes value, mode"):
        load_scorer("mine:Judge", size=3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", {}),
        ("a=1, b=x y,c=true,d=null,e=NaN", {"a": 1, "b": "x y", "c": True, "d": None, "e": "NaN"}),
        ('{"a": [1, 2]}', {"a": [1, 2]}),
        ({"a": "1"}, {"a": "1"}),
    ],
)
def test_options_are_read_from_text_or_json(given, found):
    assert read_options(given) == found


@pytest.mark.parametrize(
    "given",
    ["a", "a=1,a=2", "{a: 1}", '{"a": NaN}', "=3", "a b=3", '{"a-b": 1}', '{"a":' * 5000, '{"a": 1e999}'],
)
def test_options_that_cannot_be_read_are_named(given):
    with pytest.raises(InputError, match="options"):
        read_options(given)


@pytest.mark.parametrize(
    "name", ["lab-cmi-rm", "mulan:lab-mulan", "loudness", "constant", "llm-judge:m@http://h/v1"]
)
def test_an_option_that_a_scorer_does_not_take_is_refused(name):
    with pytest.raises(
        InputError, match=r"has no option 'sise': it takes (max_seconds|subject|none|instruction, format)"
    ):
        load_scorer(name, device="cpu", sise=3)


@pytest.mark.parametrize("name", ["device", "dtype"])
def test_an_option_that_all_commands_have_is_named(here, name):
    write(JUDGE)
    options = ScoreConfig(
        input="i.jsonl", output="o.jsonl", reward="mine:Judge", reward_options=f"{name}=cpu"
    )
    with pytest.raises(InputError, match=f"--reward_options cannot hold '{name}': give --{name} instead"):
        load_reward(options)


def test_a_class_may_have_an_option_called_name(request_):
    write(JUDGE.replace("mode=", "name=").replace("self.mode = value, mode", "self.given = value, name"))
    assert load_scorer("mine:Judge", name="other").given == "other"


def test_two_rewards_have_the_metrics_of_both(request_):
    write("def f(path, scale=2): return scale\ndef g(request): return 1")
    scorer = load_scorer("mine.py:f, loudness,mine.py:g", scale=3)
    assert scorer.metrics == ("f", "loudness", "g")
    (found,) = scores_of(scorer, [request_])
    assert found == {"f": 3.0, "loudness": pytest.approx(-6.02, abs=0.01), "g": 1.0}
    assert RewardWeights.parse("f=2,g=-1")(found) == 5.0
    assert scorer.hash != load_scorer("mine.py:f,loudness,mine.py:g").hash
    with pytest.raises(InputError, match="f has no option 'sise'"):
        load_scorer("mine.py:f,loudness", sise=3)


def test_a_metric_of_two_rewards_is_called_after_each(request_):
    write(
        JUDGE.replace("VALUE", "1")
        + JUDGE.replace("Judge", "B").replace('"judge"', '"b"').replace("VALUE", "2")
    )
    scorer = load_scorer("mine:Judge,mine:B")
    assert scores_of(scorer, [request_]) == [{"judge.m": 1.0, "b.m": 2.0}]
    with pytest.raises(InputError, match=r"two scorers of one reward give 'judge\.m': name each once"):
        load_scorer("mine:Judge,mine:Judge")


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf"), "short", [1]])
def test_a_length_that_is_none_is_refused(seconds):
    with pytest.raises(InputError, match=r"max_seconds.? .*must be (above 0 and finite|a number), got"):
        load_scorer("lab-cmi-rm", device="cpu", max_seconds=seconds)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")])
@pytest.mark.parametrize("of_batches", [False, True])
def test_one_that_runs_out_of_memory_ends_the_run_which_goes_on_later(tmp_path, noise, error, of_batches):
    class Judge:
        name, metrics, hash, sr = "judge", ("musicality", "alignment"), "1", 8000

        def score(self, requests):
            self.remember(requests[0].prompt.id)
            return [{"musicality": 1.0, "alignment": 1.0}]

        def score_batch(self, inputs, batch_size, max_dur):
            self.remember(Path(inputs[0].audio).stem)
            return [[1.0, 1.0]]

        def remember(self, name):
            asked.append(name)
            if full and name == "1":
                raise error

    asked, full = [], True
    for index in range(3):
        write_clip(tmp_path / f"{index}.flac", noise(2000, seed=index))
    rows = "".join(json.dumps({"id": str(i), "audio": f"{i}.flac"}) + "\n" for i in range(3))
    (tmp_path / "in.jsonl").write_text(rows)
    scorer = BatchPlugIn(Judge()) if of_batches else PlugIn(Judge())
    with pytest.raises(type(error)):
        score_rows(tmp_path / "in.jsonl", tmp_path / "out.jsonl", scorer)
    full = False
    counts = score_rows(tmp_path / "in.jsonl", tmp_path / "out.jsonl", scorer)
    assert (counts.scored, counts.kept, counts.failed) == (2, 1, 0)
    assert asked == ["0", "1", "1", "2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("chances=maybe", "the option 'chances' of .* must be true or false, got 'maybe'"),
        ("chances=1", "the option 'chances' of .* must be true or false, got 1"),
        ("max_seconds=true", "the option 'max_seconds' of .* must be a number, got True"),
    ],
)
def test_an_option_that_says_what_it_is_takes_nothing_else(options, message):
    with pytest.raises(InputError, match=message):
        load_scorer("lab-cmi-rm", device="cpu", **read_options(options))
