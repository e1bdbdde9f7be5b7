"""Methods of search beside best of n at equal compute: rows say what searches say, and nothing is done twice."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.search import runs
from experiments.search.command import main
from experiments.search.compared import Yardstick, at, measure
from experiments.search.options import CompareSearches
from experiments.search.runs import Found
from experiments.search.tried import METHODS, grid
from music.errors import InputError
from music.intervals import FEWEST
from music.pool import Pool
from scaling.methods.evolve import Evolve
from scaling.methods.protocol import BudgetTooSmallError, within_budget
from scaling.methods.registry import METHODS as ALL
from scaling.searching.compute import Course, Prices


@pytest.fixture(scope="module")
def options(small_run, tmp_path_factory):
    names = ("generator", "reward", "ignore_unsupported", "batch_size", "device")
    return CompareSearches(
        **{name: getattr(small_run, name) for name in names},
        judges="tests.scaling.loudness_scorer:GoldScorer", choosing=small_run.prompts, held_out=small_run.prompts,
        methods="stop,prune", budgets="2,4", target=3, choosing_budget=3, limit=2, choosing_limit=1, seeds=1,
        seconds=0.6, encoders="",
        output=tmp_path_factory.mktemp("searches"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(options):
    """Return the folder of a comparison that was never stopped, and its rows by method, budget and metric."""
    with pytest.MonkeyPatch.context() as patch:  # pages take as long as searches, and nobody reads them here
        patch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)
        patch.setattr("scaling.outcome.write_report", lambda *_: None)
        schedules = grid(schedule=("0.3=0.5,0.5=0.5", "0.5=0.5"))
        patch.setitem(METHODS, "prune", replace(METHODS["prune"], options=schedules))
        main(options)
        yield options.folder, rows_of(options.folder)


def rows_of(folder):
    with (folder / "results.csv").open() as file:
        return {(row["method"], row["budget"], row["metric"]): row for row in csv.DictReader(file)}


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_a_row_says_what_the_search_says_of_itself_at_equal_compute(compared):
    folder, rows = compared
    with (folder / "chosen.csv").open() as file:
        [schedule] = [row["options"].split()[1] for row in csv.DictReader(file) if row["chosen"] == "yes"]
    for name, place in (("prune", f"prune-{schedule}"), ("stop", "stop")):
        for budget in ("2", "4"):
            summary = summary_of(folder / "held_out" / f"{place}-{budget}-0")
            row = rows[name, f"{budget}.0", "reward"]
            assert float(row["value"]) == pytest.approx(summary["chosen"]["reward"]["mean"])
            assert float(row["clips"]) == pytest.approx(summary["compute"]["clips_per_prompt"])
            assert float(budget) - 1.1 <= float(row["clips"]) <= float(budget) + 1e-9
            assert (name, f"{budget}.0", "peak") in rows  # judged too


def test_best_of_n_is_that_of_the_command(compared):
    folder, rows = compared
    summary = summary_of(folder / "held_out" / "best_of_n-0")
    for n in ("1", "4"):
        for metric in ("reward", "musicality"):
            expected = summary["by_n"][n][metric]["mean"]
            assert float(rows["best of n", n, metric]["value"]) == pytest.approx(expected)


def test_judges_hear_only_what_was_chosen(compared):
    folder, _ = compared
    scores = [path for path in (folder / "choosing").rglob("scores/*") if "gold" in path.name]
    assert scores == []
    for place in (folder / "held_out").glob("prune-*"):
        [path] = [path for path in (place / "pool" / "scores").iterdir() if "gold" in path.name.lower()]
        assert len(path.read_text().splitlines()) == 2


def test_a_second_run_makes_nothing_and_one_that_was_killed_makes_what_is_missing(
    compared, options, monkeypatch
):
    folder, before = compared
    done = []
    monkeypatch.setattr(runs, "_do", lambda *given, do=runs._do: done.append(given[1].method) or do(*given))
    main(options)
    assert done == []
    assert rows_of(folder) == before
    next((folder / "held_out").glob("prune-*-2-0/found.json")).unlink()
    main(options)
    assert done == ["prune"]
    for key, row in rows_of(folder).items():
        assert {**row, "seconds": ""} == {
            **before[key],
            "seconds": "",
        }  # nobody knows how long it would have taken


def found_of(metrics, clips):
    return Found({name: np.array(values, float) for name, values in metrics.items()}, {}, clips, None, None)


def test_differences_are_paired_and_best_of_n_is_interpolated():
    stream = np.random.default_rng(0)
    candidates = stream.normal(size=(2, 3 * FEWEST, 4))
    yardstick = Yardstick.of([found_of({"reward": one}, 4) for one in candidates], 4)
    assert yardstick.metrics["reward"][..., 3] == pytest.approx(candidates.max(-1))
    assert yardstick.metrics["reward"][..., 0] == pytest.approx(candidates.mean(-1))
    curve = yardstick.metrics["reward"]
    assert at(curve, 2.25) == pytest.approx(0.75 * curve[..., 1] + 0.25 * curve[..., 2])
    best = [found_of({"reward": one.max(-1, keepdims=True)}, 2.0) for one in candidates]
    [reward] = measure(best, yardstick, target=4)
    assert reward.to_target.value == pytest.approx(0)
    assert not reward.to_target.differs
    assert reward.to_same.low > 0
    assert yardstick.needs(reward.value.value) == pytest.approx(4)


def test_stop_takes_up_what_the_yardstick_has_made(compared):
    folder, rows = compared
    known = {one.key: one for one in Pool(folder / "held_out" / "best_of_n-0" / "pool")}
    stopped = Pool(folder / "held_out" / "stop-4-0" / "pool")
    shared = [one for one in stopped if one.key in known]
    assert len(shared) == len(known)
    assert all(one == known[one.key] for one in shared)
    assert (
        rows["stop", "4.0", "reward"]["seconds"] == ""
    )  # it would tell the time of the few that were missing


def test_a_budget_below_the_least_of_a_method_leaves_it_out():
    with pytest.raises(BudgetTooSmallError, match="--budget 4 does not suffice"):
        within_budget(Evolve, 4, Course(25, whole_previews=True), Prices(0.63, 0.22, 0.15, "made up"))


def test_every_method_but_best_of_n_itself_is_compared():
    assert {*METHODS} == {*ALL} - {"random"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "flute"}, "'flute' is not compared: choose one of musicgen, stable_audio"),
        ({"methods": "evolve"}, "'evolve' is none for musicgen: expected prune, stop, particles"),
        ({"budgets": "ten"}, "--budgets 'ten': expected numbers"),
        ({"budgets": "4,4"}, "each once"),
        ({"budgets": "0.5"}, "at least one clip, got 0.5"),
        ({"seconds": 0}, "--seconds must be above 0"),
        ({"seeds": 0}, "--seeds must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options, change, message):
    with pytest.raises(InputError, match=message):
        replace(options, **change)


def test_another_reward_is_refused_in_the_same_folder(compared, options):
    with pytest.raises(InputError, match="holds work with another options"):
        main(replace(options, seconds=0.7))
