"""Searches in this process: what pruning finds is what best of n would have found, what it leaves and what it costs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from music.errors import InputError
from music.pool import Pool
from scaling.best_of_n import main as best_of_n
from scaling.search import main
from scaling.searching.trail import read_looks
from tests.scaling.finished_run import finished
from tests.scaling.searches import SECONDS, chosen, summary_of
from tests.web_pages import assert_balanced, assert_loads_nothing

pytestmark = pytest.mark.usefixtures("no_page")


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
