"""Runs with a reward of several scorers, of z-scores, and with several clips kept."""

import csv
import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from experiments.ab_test.building.systems import find_sources, parse_systems
from music.errors import InputError
from music.pool import Pool
from music.scores import ScoreTable
from reward import RewardWeights
from scaling.best_of_n import main
from scaling.browsing.listing import read_listing
from scaling.evaluate import Evaluate
from scaling.evaluate import main as evaluate
from tests.scaling.finished_run import finished

SCORERS = "tests.scaling.loudness_scorer"
LOUDNESS, GOLD, CONSTANT = (f"{SCORERS}:{name}Scorer" for name in ("Loudness", "Gold", "Constant"))
WEIGHTS = "loudness.musicality=0.5,gold.peak=0.2"


@pytest.fixture(scope="module")
def config(small_run, tmp_path_factory):
    return replace(
        small_run,
        reward=f"{LOUDNESS},{GOLD}",
        weights=WEIGHTS,
        standardise=True,
        output=tmp_path_factory.mktemp("combined") / "run",
    )


@pytest.fixture(scope="module")
def whole(config):
    """Return what a run leaves that was never stopped."""
    main(config)
    return config.output


def rows_of(folder):
    return [json.loads(line) for line in (folder / "best" / "metadata.jsonl").read_text().splitlines()]


def z_scores(folder):
    """Return the z-scores of level and peak of all candidates, `[P, N]` each."""
    pool = Pool(folder / "pool")
    tables = [
        ScoreTable(pool.folder, "loudness", "loudness-1", ("musicality", "alignment")),
        ScoreTable(pool.folder, "gold", "gold-1", ("peak",)),
    ]
    level, peak = (
        np.array([one[name] for one in table.table(pool.candidates)]).reshape(3, 4)
        for table, name in zip(tables, ("musicality", "peak"), strict=True)
    )
    return [(values - values.mean()) / values.std() for values in (level, peak)]


def test_the_choice_is_that_of_the_weighted_z_scores(whole):
    level, peak = z_scores(whole)
    rewards = 0.5 * level + 0.2 * peak
    # prompts of the run in the order of the pool
    found = {row["prompt_id"]: row for row in rows_of(whole)}
    ids = list(dict.fromkeys(one.prompt_id for one in Pool(whole / "pool").candidates))
    assert [found[name]["candidate"] for name in ids] == rewards.argmax(axis=1).tolist()
    assert [found[name]["reward"] for name in ids] == pytest.approx(rewards.max(axis=1).tolist())
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["by_n"]["1"]["reward"]["mean"] == pytest.approx(0, abs=1e-12)
    assert summary["scales"].keys() == {"musicality", "peak"}
    assert ", of z-scores" in (whole / "report.html").read_text()


def test_each_scorer_keeps_its_scores_and_scores_once(whole, config, small_run, monkeypatch, tmp_path):
    assert {file.name for file in (whole / "pool" / "scores").iterdir()} == {"gold.jsonl", "loudness.jsonl"}
    record = json.loads((whole / "run.json").read_text())
    assert record["scorers"] == {"loudness": "loudness-1", "gold": "gold-1"}
    assert record["reward"]["weights"] == {"musicality": 0.5, "peak": 0.2}
    monkeypatch.setenv("SCORED", str(tmp_path / "scored"))
    output = tmp_path / "run"
    main(replace(small_run, output=output))  # by the first alone
    assert (tmp_path / "scored").read_text().count("scored") == 12
    main(replace(config, output=output))
    assert (tmp_path / "scored").read_text().count("scored") == 12
    assert finished(output) == finished(whole)


def test_the_order_of_the_scorers_does_not_matter(whole, config, tmp_path):
    main(replace(config, reward=f"{GOLD},{LOUDNESS}", output=tmp_path))
    assert rows_of(tmp_path) == rows_of(whole)  # with their columns in another order


def test_killed_it_ends_with_the_same(whole, config, tmp_path):
    child = os.fork()
    if child == 0:
        try:
            main(replace(config, output=tmp_path))
        finally:
            os._exit(0)
    while not list(tmp_path.glob("pool/scores/*")) and time.sleep(0.001) is None:
        continue
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    main(replace(config, output=tmp_path))
    assert finished(tmp_path) == finished(whole)


def test_the_one_that_is_kept_is_the_first_of_three(whole, config, tmp_path):
    main(replace(config, keep=3, output=tmp_path))
    rows, alone = rows_of(tmp_path), rows_of(whole)
    firsts = [row for row in rows if row["rank"] == 1]
    same = ("prompt_id", "candidate", "sha256", "reward")
    assert [[row[name] for name in same] for row in firsts] == [[row[name] for name in same] for row in alone]
    assert [row["rank"] for row in rows] == [1, 2, 3] * 3
    one, three = (json.loads((folder / "summary.json").read_text()) for folder in (whole, tmp_path))
    assert (three.pop("keep"), three.pop("seconds").keys()) == (3, one.pop("seconds").keys())
    assert three == one
    systems = parse_systems(f"one={whole / 'best'},three={tmp_path / 'best'}")
    pool = Pool(whole / "pool")
    prompts = [pool.prompt(next(one for one in pool if one.prompt_id == row["prompt_id"])) for row in alone]
    for found in find_sources(systems, prompts, RewardWeights(), None).values():
        assert found["one"].sha256 == found["three"].sha256


def test_browsing_shows_the_reward_of_the_run(whole):
    listing = read_listing(whole)
    level, peak = z_scores(whole)
    assert listing.columns["reward"] == pytest.approx((0.5 * level + 0.2 * peak).ravel())
    chosen = {listing.candidates[row].key for row in listing.choices}
    assert chosen == {(row["prompt_id"], row["candidate"]) for row in rows_of(whole)}
    assert [name.partition(" ")[0] for name in listing.scorers] == ["loudness", "gold"]


def test_metrics_that_scorers_share_are_browsed_as_they_are_weighed(config, tmp_path):
    shared = f"{LOUDNESS},{CONSTANT}"
    weights = "loudness.musicality=1,constant.alignment=1"
    main(replace(config, reward=shared, weights=weights, standardise=False, output=tmp_path))
    listing = read_listing(tmp_path)
    assert {"loudness.musicality", "constant.musicality"} < listing.columns.keys()
    assert max(listing.columns["reward"]) == max(row["reward"] for row in rows_of(tmp_path))


def test_evaluate_scores_nothing_again_and_says_what_the_reward_is(whole, config, tmp_path, monkeypatch):
    monkeypatch.setenv("SCORED", str(tmp_path / "scored"))
    options = Evaluate(
        f"{whole / 'pool'}",
        best_of="1,4",
        reward=config.reward,
        weights=WEIGHTS,
        standardise=True,
        device="cpu",
        output=tmp_path / "table",
    )
    evaluate(options)
    assert not (tmp_path / "scored").exists()
    rows = list(csv.DictReader((options.output / "table.csv").open()))
    by_n = {row["n"]: float(row["mean"]) for row in rows if row["metric"] == "reward"}
    summary = json.loads((whole / "summary.json").read_text())["by_n"]
    assert by_n == pytest.approx({n: summary[n]["reward"]["mean"] for n in ("1", "4")}, abs=1e-12)
    assert "musicality=0.5,peak=0.2 of z-scores by loudness-gold" in (options.output / "table.md").read_text()


def test_a_metric_that_does_not_vary_is_told_once(config, tmp_path, capsys):
    shared = {"reward": f"{LOUDNESS},{CONSTANT}", "output": tmp_path}
    main(replace(config, **shared, weights="loudness.musicality=1,constant.alignment=9"))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert told == ["note: constant.alignment does not vary: standardised, it contributes nothing"]
    level, _ = z_scores(config.output)
    assert max(row["reward"] for row in rows_of(tmp_path)) == pytest.approx(level.max())
    main(replace(config, **shared, weights="", n=1, limit=1))
    assert [row["reward"] for row in rows_of(tmp_path)] == [0.0]
    assert "does not vary" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": "constant.musicality=1"}, "there are musicality, alignment, peak"),
        ({"weights": "", "standardise": False}, "may have nothing in common"),
        ({"reward": f"{GOLD},{GOLD}", "weights": ""}, "two scorers of one reward give 'gold.peak'"),
        ({"judges": LOUDNESS, "reward": LOUDNESS, "weights": ""}, "two scorers are called 'loudness'"),
    ],
)
def test_bad_combinations_are_one_line(whole, config, changed, message):
    before = finished(whole)
    with pytest.raises(InputError) as caught:
        main(replace(config, **changed))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert finished(whole) == before
