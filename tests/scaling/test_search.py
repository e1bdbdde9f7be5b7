"""Searches in this process: what they find is what best of n would have found, and what they leave and refuse."""

import csv
import json
import os
import signal
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from music.command import parse_command
from music.errors import InputError
from music.pool import Pool
from scaling.best_of_n import main as best_of_n
from scaling.estimators import best_of_n as best_of_n_estimate
from scaling.methods.halving import Stage, parse_schedule
from scaling.methods.prune import Prune
from scaling.methods.stop import Stop, expected_improvements, spread_between, spread_within
from scaling.search import Search, main
from scaling.searching.compute import Course, Prices
from scaling.searching.prompts import side_by_side
from scaling.searching.trail import read_looks
from tests.music.folder_state import contents
from tests.scaling.finished_run import finished
from tests.web_pages import assert_balanced, assert_loads_nothing

SCORERS = "tests.scaling.loudness_scorer"
SECONDS = 0.6  # so that there is something to be heard after 0.3 of the work


@pytest.fixture(scope="session")
def options(small_run):
    """Return the options that a search shares with best of n."""
    names = ("generator", "reward", "prompts", "ignore_unsupported", "batch_size", "device")
    return {**{name: getattr(small_run, name) for name in names}, "seconds": SECONDS}


@pytest.fixture(autouse=True)
def no_page(request, monkeypatch):
    """Leave out the page, which takes as long as a small search, where it is not what is tested."""
    if "report" not in request.node.name:
        monkeypatch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)


@pytest.fixture
def config(options, tmp_path):
    return Search(**options, n=6, judges=f"{SCORERS}:GoldScorer", output=tmp_path / "search")


@pytest.fixture(scope="module")
def whole(small_run, tmp_path_factory):
    """Return what best of six leaves."""
    folder = tmp_path_factory.mktemp("whole")
    best_of_n(replace(small_run, n=6, seconds=SECONDS, judges=f"{SCORERS}:GoldScorer", output=folder))
    return folder


@pytest.fixture(scope="module")
def pruned(options, tmp_path_factory):
    """Return what a search leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("pruned")
    main(Search(**options, n=6, judges=f"{SCORERS}:GoldScorer", output=folder))
    return folder


def chosen(folder):
    rows = [json.loads(line) for line in (folder / "best" / "metadata.jsonl").read_text().splitlines()]
    return {row["prompt_id"]: row["candidate"] for row in rows}


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def drawn(folder):
    """Return how many candidates each prompt has in the ranking."""
    with open(folder / "ranking.csv", newline="") as file:
        names = [row["prompt_id"] for row in csv.DictReader(file)]
    return {name: names.count(name) for name in names}


def test_what_pruning_leaves(pruned):
    left = ["best", "pool", "ranking.csv", "report.html", "run.json", "summary.json"]
    assert sorted(file.name for file in pruned.iterdir()) == left
    summary = summary_of(pruned)
    assert (summary["method"], summary["n"], summary["n_prompts"]) == ("prune", 6, 3)
    assert list(summary["chosen"]) == ["reward", "musicality", "alignment", "peak"]
    assert summary["finished"] == {"per_prompt": 2.0, "fewest": 2, "most": 2}
    assert [(one["candidates"], one["kept"]) for one in summary["looked_at"]] == [(18, 9), (9, 6)]
    record = json.loads((pruned / "run.json").read_text())
    assert record["method"]["schedule"] == [{"share": 0.3, "keep": 0.5}, {"share": 0.5, "keep": 0.5}]
    assert len(Pool(pruned / "pool")) == 6


def test_the_report_tells_what_it_cost_and_loads_nothing(pruned, whole, config):
    page = (pruned / "report.html").read_text()
    assert_loads_nothing(page)
    assert_balanced(page)
    clips = summary_of(pruned)["compute"]["clips_per_prompt"]
    assert f"at {clips:.3g} clips a prompt" in page
    assert "prune, n 6, schedule 0.3=0.5,0.5=0.5" in page
    assert "Against best of n" not in page
    main(replace(config, method="stop", from_pool=whole / "pool"))
    page = (config.output / "report.html").read_text()
    assert_loads_nothing(page)
    assert_balanced(page)
    assert "Against best of n" in page
    summary = summary_of(config.output)
    known = summary_of(whole)["by_n"]
    assert list(summary["best_of_n"]) == list(known)
    for n, metrics in known.items():
        for name, entry in metrics.items():
            assert summary["best_of_n"][n][name]["mean"] == pytest.approx(entry["mean"])
    assert 1 <= summary["best_of_n_needs"] <= 6


def test_the_compute_is_that_of_the_steps_previews_and_scores(pruned):
    compute = summary_of(pruned)["compute"]
    looked = summary_of(pruned)["looked_at"]
    first, second = (one["share"] for one in looked)
    assert compute["generation"] == pytest.approx(6 * first + 3 * (second - first) + 2 * (1 - second))
    assert 2 < compute["scoring"] == compute["decoding"] <= 2 + 6 * first + 3 * second
    prices = compute["prices"]
    parts = ("generation", "decoding", "scoring")
    assert sum(prices[part] for part in parts) == pytest.approx(1)
    assert compute["clips_per_prompt"] == pytest.approx(sum(prices[part] * compute[part] for part in parts))
    assert compute["clips_per_prompt"] < 6


def test_survivors_are_the_candidates_of_best_of_n(pruned, whole):
    of_search, of_best = Pool(pruned / "pool"), Pool(whole / "pool")
    there = {candidate.key: candidate for candidate in of_best}
    for candidate in of_search:
        assert candidate == there[candidate.key]
        for file in (candidate.file_name, candidate.tokens):
            assert (of_search.folder / file).read_bytes() == (of_best.folder / file).read_bytes()


def test_the_best_previews_go_on(pruned):
    for prompt_id, looks in read_looks(pruned / "pool").items():
        finished_ones = {one.candidate for one in Pool(pruned / "pool") if one.prompt_id == prompt_id}
        shares = sorted({look.share for look in looks})
        for share in shares:
            stage = [look for look in looks if look.share == share]
            kept = [look.reward for look in stage if look.kept]
            assert min(kept) >= max(look.reward for look in stage if not look.kept)
            assert all(look.reward == pytest.approx(sum(look.scores.values()) / 2) for look in stage)
        assert {look.candidate for look in looks if look.share == shares[-1] and look.kept} == finished_ones


def test_best_of_n_makes_what_is_missing_and_ends_as_ever(pruned, whole, small_run, config):
    main(config)
    times = {file: file.stat().st_mtime_ns for file in (config.output / "pool").rglob("*.flac")}
    assert len(times) == 6
    best_of_n(replace(small_run, n=6, seconds=SECONDS, judges=config.judges, output=config.output))
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    files, summary = finished(config.output)
    of_search = {"pool/search.json", "pool/partials.jsonl", "pool/searched.jsonl"}
    assert of_search <= set(files)
    assert ({name: data for name, data in files.items() if name not in of_search}, summary) == finished(whole)


@pytest.mark.parametrize("schedule", ["0.5=1", "0.3=0.5,0.5=0.5"])
def test_keeping_all_is_best_of_n(config, whole, schedule):
    n = 6 if schedule == "0.5=1" else 1  # of one candidate nothing is dropped
    main(replace(config, n=n, schedule=schedule))
    summary = summary_of(config.output)
    assert summary["compute"]["clips_per_prompt"] == pytest.approx(n)
    assert summary["looked_at"] == []
    if n == 6:
        assert chosen(config.output) == chosen(whole)
        assert summary["chosen"]["peak"]["mean"] == pytest.approx(
            summary_of(whole)["by_n"]["6"]["peak"]["mean"]
        )


def test_what_is_found_does_not_depend_on_the_prompts_beside_it(config, pruned):
    main(replace(config, at_once=1, limit=1))
    main(replace(config, at_once=2))  # goes on with the others
    assert finished(config.output) == finished(pruned)


def test_killed_at_any_stage_it_is_taken_up(config, pruned):
    start = time.perf_counter()
    main(replace(config, at_once=1, output=config.output.parent / "rehearsal"))
    duration = time.perf_counter() - start
    assert finished(config.output.parent / "rehearsal") == finished(pruned)
    for share in (0.3, 0.6):
        output = config.output.parent / f"killed-{share}"
        child = os.fork()
        if child == 0:
            try:
                main(replace(config, at_once=1, output=output))
            finally:
                os._exit(0)
        time.sleep(share * duration)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        main(replace(config, output=output))
        assert finished(output) == finished(pruned)


def test_killed_between_a_clip_and_its_prompt_it_is_searched_again(config, pruned, monkeypatch):
    monkeypatch.setattr(
        "scaling.searching.trail.Trail.add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        main(config)
    assert len(Pool(config.output / "pool")) == 2  # of the first prompt
    monkeypatch.undo()
    main(config)
    assert finished(config.output) == finished(pruned)


def test_a_candidate_whose_row_was_deleted_is_made_again(config, pruned):
    main(config)
    metadata = config.output / "pool" / "metadata.jsonl"
    metadata.write_text("".join(metadata.read_text().splitlines(keepends=True)[1:]))
    main(config)
    assert finished(config.output) == finished(pruned)


def test_a_budget_is_as_many_candidates_as_it_pays(config):
    main(replace(config, n=None, budget=3.0))
    summary = summary_of(config.output)
    assert 2 < summary["compute"]["clips_per_prompt"] <= 3
    assert summary["n"] > 3


def test_standardised_previews_are_compared_within_the_prompt(config):
    main(replace(config, standardise=True, judges=""))
    for looks in read_looks(config.output / "pool").values():
        first = [look.reward for look in looks if look.share == looks[0].share]
        assert np.mean(first) == pytest.approx(0, abs=1e-9)


def test_several_of_each_prompt_are_kept(config):
    main(replace(config, keep=2))
    rows = [json.loads(line) for line in (config.output / "best" / "metadata.jsonl").read_text().splitlines()]
    assert [row["rank"] for row in rows] == [1, 2] * 3
    with pytest.raises(
        InputError, match="--keep must be at most the candidates that are finished, got 3 of 2"
    ):
        main(replace(config, keep=3))


def test_stopping_draws_what_best_of_n_would_draw_and_no_more(config, whole):
    main(replace(config, method="stop", cost=0.3))
    pool = Pool(config.output / "pool")
    there = {candidate.key: candidate for candidate in Pool(whole / "pool")}
    assert all(candidate == there[candidate.key] for candidate in pool)
    counts = drawn(config.output)
    assert sum(counts.values()) == len(pool)
    assert max(counts.values()) <= 6
    assert min(counts.values()) >= 3
    summary = summary_of(config.output)
    assert summary["compute"]["clips_per_prompt"] == pytest.approx(len(pool) / 3)
    assert summary["gain"]["reward"]["mean"] >= 0


@pytest.mark.parametrize("rule", [{"cost": 0.3}, {"budget": 3.0}])
def test_what_is_told_of_a_pool_is_what_is_done(config, whole, rule):
    main(replace(config, method="stop", **rule))
    told = replace(
        config, method="stop", from_pool=whole / "pool", output=config.output.parent / "told", **rule
    )
    before = contents(whole)
    main(told)
    assert contents(whole) == before
    assert drawn(told.output) == drawn(config.output)
    assert chosen(told.output) == chosen(config.output)
    assert summary_of(told.output)["chosen"] == summary_of(config.output)["chosen"]
    again = replace(told, from_pool=config.output / "pool", output=config.output.parent / "again")
    main(again)
    assert drawn(again.output) == drawn(config.output)
    if "budget" in rule:
        assert len(Pool(config.output / "pool")) == 9


def test_a_pool_that_ends_too_soon_is_named(config, whole):
    with pytest.raises(InputError, match=r"has 6 candidates for prompt '.+', and --method stop would draw"):
        main(replace(config, method="stop", n=9, cost=0.0, from_pool=whole / "pool"))


def test_draws_go_to_the_prompts_that_gain_most():
    rewards = {"flat": [0.0, 0.001, 0.0], "wide": [0.0, 1.0, -1.0], "lucky": [0.0, 5.0, 0.1]}
    gains = expected_improvements(rewards)
    assert gains["lucky"] < gains["wide"]
    assert Stop(10, 0.0, 4.0).next_draws(rewards) == [max(gains, key=gains.__getitem__)]
    assert Stop(3, 0.0).next_draws(rewards) == []
    assert Stop(10, 1e9).next_draws(rewards) == []
    assert Stop(10, 0.0, 3.0).next_draws(rewards) == []  # the budget is spent


def test_what_costs_nothing_is_drawn_to_the_end():
    rewards = Stop(5, 0.0).draw(["a", "b"], lambda keys: [index * len(name) for name, index in keys])
    assert rewards == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}


def test_the_expected_improvement_is_that_of_a_sample():
    generator = np.random.default_rng(0)
    rewards = {"a": [0.3, -0.2, 1.1], "b": [5.0, 5.4, 4.4]}
    spread = spread_within(rewards)
    assert spread == pytest.approx(np.sqrt(np.mean([np.var(one, ddof=1) for one in rewards.values()])))
    between = spread_between(rewards, spread)
    means = {name: np.mean(found) for name, found in rewards.items()}
    assert between == pytest.approx(np.sqrt(np.var(list(means.values()), ddof=1) - spread**2 / 3))
    variance = (8 * spread**2 + np.sum((np.array(rewards["a"]) - means["a"]) ** 2)) / 10
    weight = 3 / (3 + variance / between**2)
    mean = weight * means["a"] + (1 - weight) * np.mean(list(means.values()))
    draws = mean + np.sqrt(variance + weight * variance / 3) * generator.standard_t(10, 1_000_000)
    expected = np.maximum(0, draws - 1.1).mean()
    assert expected_improvements(rewards)["a"] == pytest.approx(expected, rel=0.02)
    assert expected_improvements({"a": [1.0, 1.0]}) == {"a": 0.0}
    assert spread_between({"a": [1.0, 1.0]}, 0.0) == 0


def drawn_from(table, keys):
    return [table[name][index] for name, index in keys]


def test_a_normal_reward_is_drawn_for_until_its_cost():
    """Drawing is worth it: best of n needs more clips for the same reward."""
    generator = np.random.default_rng(0)
    counts, needed = {}, {}
    for cost in (0.4, 0.1):
        table = {str(row): generator.standard_normal(60).tolist() for row in range(100)}
        rewards = Stop(60, cost).draw(list(table), partial(drawn_from, table))
        counts[cost] = np.mean([len(found) for found in rewards.values()])
        values = np.array(list(table.values()))
        means = [best_of_n_estimate(values, values, n).mean() for n in range(1, 61)]
        reached = np.mean([max(found) for found in rewards.values()])
        needed[cost] = np.interp(reached, means, range(1, 61))
    assert counts[0.4] < 5 < counts[0.1] < 0.9 * needed[0.1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no share"),
        ("0.5", "expected SHARE=SHARE"),
        ("0.5=two", "expected SHARE=SHARE"),
        ("1=0.5", "lie between 0 and 1"),
        ("0.5=0", "is above 0"),
        ("0.5=nan", "is above 0"),
        ("0.5=0.5,0.25=0.5", "'0.25=0.5' must come after 0.5"),
    ],
)
def test_what_is_no_schedule_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_schedule(text)


def test_the_work_is_known_ahead():
    course = Course(steps=10, whole_previews=False)
    method = Prune(8, (Stage(0.25, 0.5), Stage(0.5, 0.25)))
    work = method.work(course)
    assert method.finishes == 1
    assert work.generation == pytest.approx(8 * 0.3 + 4 * 0.2 + 1 * 0.5)
    assert work.scoring == pytest.approx(8 * 0.3 + 4 * 0.5 + 1)
    assert Prices(0.5, 0.25, 0.25, "").clips(work) == pytest.approx(
        0.5 * work.generation + 0.5 * work.scoring
    )
    assert method.work(Course(10, True)).decoding == 13


def test_so_many_prompts_are_searched_at_once_that_batches_are_full():
    assert Prune(10, (Stage(0.25, 0.5), Stage(0.5, 0.5))).widths == [(10, 0.25), (5, 0.25), (3, 0.5)]
    assert side_by_side([(16, 1.0)], 16) == 1
    assert side_by_side([(4, 1.0)], 16) == 4
    assert side_by_side([(8, 0.5), (4, 0.5)], 16) == 4
    assert side_by_side([(10, 0.25), (5, 0.25), (3, 0.5)], 16) == 9  # 6, 3 and 2 batches


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "random"}, "method was 'prune', is 'random'"),
        ({"method": "stop"}, "method was 'prune', is 'stop'"),
        ({"n": 7}, "n was 6, is 7"),
        ({"schedule": "0.5=0.5"}, "schedule was"),
        ({"weights": "musicality=1"}, "weights was"),
        ({"seed": 7}, "another --seed"),
        ({"seconds": 0.4}, "seconds was 0.6, is 0.4"),
        ({"generator": "no-such-model"}, "no-such-model"),
        ({"ignore_unsupported": False}, "prompt 'a/b' has lyrics"),
    ],
)
def test_the_folder_of_another_search_is_left_alone(config, pruned, changed, message):
    before = contents(pruned)
    with pytest.raises(InputError) as caught:
        main(replace(config, **{"output": pruned, **changed}))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert contents(pruned) == before


def test_the_folder_of_best_of_n_is_left_alone(config, whole):
    before = contents(whole)
    with pytest.raises(InputError, match="holds the results of another command"):
        main(replace(config, output=whole))
    assert contents(whole) == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--budget", "0.5"], "--budget must be at least one clip, got 0.5"),
        (["--budget", "3", "--n", "4"], "leave out --n"),
        (["--method", "magic"], "--method must be one of"),
        (["--n", "0"], "--n must be at least 1"),
        (["--schedule", "half"], "--schedule"),
        (["--method", "stop", "--cost=-1"], "--cost must be 0 or more"),
        (["--method", "stop", "--standardise", "true"], "leave out --standardise"),
        (["--from_pool", "pool"], "--from_pool goes with --method stop"),
    ],
)
def test_options_that_do_not_go_together_never_start(argv, message):
    with pytest.raises(InputError, match=message):
        parse_command(Search, argv)


def test_a_method_that_the_generator_cannot_run_is_refused_before_any_work(config, tmp_path, whole):
    with pytest.raises(InputError, match="starts from no noise: choose a generator by diffusion or flow"):
        main(replace(config, method="cfg"))
    folder = f"folder:{whole / 'best'}"
    with pytest.raises(InputError, match="cannot be stopped half-way"):
        main(replace(config, generator=folder, batch_size=None))
    assert not (config.output / "pool" / "search.json").exists()
