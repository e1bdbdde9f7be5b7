"""Ablations: from sets to tables, each part done once, and statistics that hold what they say."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments.ablations.command import Ablate, main
from experiments.ablations.lab_data import LabData, label_accuracy
from experiments.ablations.questions import ABLATIONS
from experiments.ablations.report import verdict
from experiments.ablations.stages import STAGES, Recipe, Stage, train_all
from experiments.ablations.testing import (
    Benchmark,
    View,
    in_windows,
    resampled_correlation,
    resampled_mean,
)
from experiments.lab.judgement_sets import WriteSets
from experiments.lab.judgement_sets import main as write_sets
from music.clips import Clip, read_header, write_clip
from music.errors import InputError
from music.intervals import Estimate
from reward.judgements import load_judgements

TOWERS = "lab-mulan"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Answer a question on small sets, and return how it was asked."""
    folder = tmp_path_factory.mktemp("ablations")
    write_sets(WriteSets(folder / "sets", share=0.004, workers=1))
    asked = Ablate("consistency_filter", folder / "out", folder / "sets", TOWERS, 4, 2, 1)
    main(asked)
    return asked


@pytest.fixture
def data(options):
    return LabData(options.sets, options.output / "data", TOWERS)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_trainings_side_by_side_are_those_one_after_another(data, options, tmp_path):
    jobs = [("distill_unfiltered_pref", 0), ("distill_pref", 0), ("distill", 0)]
    recipe = Recipe(data, tmp_path, (options.steps, options.second_steps))
    train_all(recipe, jobs, 2)
    for name in ("distill", "distill_pref", "distill_unfiltered", "distill_unfiltered_pref"):
        folders = (tmp_path, options.output / "models")
        one, other = (load_file(folder / f"{name}-0" / "model.safetensors") for folder in folders)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_ablation_becomes_a_table_and_a_figure_and_is_not_made_twice(options, capsys):
    folder = options.output / "consistency_filter"
    page = (folder / "table.md").read_text()
    ablation = ABLATIONS["consistency_filter"]
    assert all(f"| {arm} |" in page for arm in ablation.arms)
    assert "1 seed;" in page
    with (folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["arm"] for row in rows} == set(ablation.arms)
    assert all(float(row["low"]) <= float(row["mean"]) <= float(row["high"]) for row in rows)
    assert (folder / "figure.png").stat().st_size > 5_000
    facts = json.loads((folder / "contrasts.json").read_text())
    assert [one["metric"] for one in facts["contrasts"]] == ["human", "human"]
    assert set(facts["labels"]) == {"pseudo", "unfiltered"}

    before = times(options.output)
    assert len([path for path in before if path.name == "model.safetensors"]) == 4
    main(options)
    assert times(options.output) == before
    assert page in capsys.readouterr().out
    assert (folder / "table.md").read_text() == page


def test_ablations_share_models(options):
    main(replace(options, study="windows"))
    page = (options.output / "windows" / "table.md").read_text()
    assert all(f"| {arm} |" in page for arm in ABLATIONS["windows"].arms)
    before = times(options.output / "models")
    main(replace(options, study="prompt", seeds=2))
    new = {path.parent.name for path in times(options.output / "models").keys() - before.keys()}
    assert new == {"distill-1", "distill_both-1"}  # those of the first seed were there
    assert "2 seeds" in (options.output / "prompt" / "table.md").read_text()


def test_other_settings_are_refused(options):
    with pytest.raises(InputError, match="another steps"):
        main(replace(options, steps=5))
    with pytest.raises(InputError, match="'x' is no ablation"):
        replace(options, study="x")
    with pytest.raises(InputError, match="holds no sets"):
        main(replace(options, sets=options.output))


def test_every_arm_has_its_stages():
    for ablation in ABLATIONS.values():
        assert {arm.stage for arm in ablation.arms.values()} <= STAGES.keys()
        assert {arm for one in ablation.contrasts for arm in (one.first, one.second)} <= ablation.arms.keys()
    assert all(not STAGES[stage.start].start for stage in STAGES.values() if stage.start)


def test_stages_differ_in_what_they_name(data, monkeypatch):
    recipe = Recipe(data, data.folder / "other", (80, 40))
    plain, bare = recipe.config("distill", 0), recipe.config("distill_unsmoothed", 0)
    assert (plain.label_smoothing, bare.label_smoothing) == (0.2, 0.0)
    assert recipe.config("large_both", 1).init_from.endswith("large_distill-1")
    assert recipe.config("large_both", 1).joint_depth == recipe.config("large_distill", 1).joint_depth == 3
    assert plain.validation != recipe.config("distill_pref", 0).validation
    monkeypatch.setitem(STAGES, "epochs_7", Stage("pseudo-7", whole="pseudo"))
    rows = len(load_judgements(data.rows("pseudo")))
    assert recipe.config("epochs_7", 0).steps == round(80 * 7 / rows)
    with pytest.raises(InputError, match="rows, not 9999"):
        data.take("pseudo-9999")
    whole = load_judgements(recipe.data.rows("pseudo"))
    some = load_judgements(recipe.data.take("pseudo-7"))
    assert len(some) == 7
    assert {row.id for row in some} < {row.id for row in whole}


def test_labels_are_compared_with_the_truth(data):
    shares = {}
    for name in ("pseudo", "unfiltered"):
        counts = label_accuracy(data.rows(name))
        shares[name] = {head: right / known for head, (right, known) in counts.items()}
        assert all(0.5 < share <= 1 for share in shares[name].values())
    assert shares["pseudo"]["alignment"] >= shares["unfiltered"]["alignment"]


def test_what_a_pair_is_worth(data):
    benchmark = Benchmark(data)
    signs = [
        [{"a": 1.0, "b": -1.0}.get(label, 0.0) for label in (row.alignment, row.musicality)]
        for row in benchmark.pairs
    ]
    right = np.array(signs)
    for metric in ("musicality", "alignment", "arena", "human"):
        for scores, value in ((right, 1.0), (-right, 0.0), (0 * right, 0.5)):
            found = benchmark.values(scores, metric)
            assert set(found[~np.isnan(found)]) == {value}
    arena = ~np.isnan(benchmark.values(right, "arena"))
    assert arena.sum() == sum(row.prompt.facts["source"] == "Music Arena" for row in benchmark.pairs)
    assert np.isnan(benchmark.values(right, "musicality")[arena]).all()
    entropy = benchmark.values(0 * right, "cross_entropy")
    np.testing.assert_allclose(entropy[~np.isnan(entropy)], np.log(2))


def test_views_have_names_of_their_own():
    views = [View(), View(prompt=False), View(window="mean10"), View(False, "first10")]
    assert len({view.name for view in views}) == 4


def test_clips_in_pieces(tmp_path):
    write_clip(tmp_path / "long.flac", Clip(torch.zeros(1, 25_300), 1_000))
    write_clip(tmp_path / "short.flac", Clip(torch.zeros(1, 10_000), 1_000))
    lengths = {"first10": [10_000], "mean10": [10_000, 10_000, 5_300], "full": [25_300]}
    for window, samples in lengths.items():
        pieces = in_windows(tmp_path / "long.flac", tmp_path / "w", window)
        assert [read_header(path).samples for path in pieces] == samples
    assert in_windows(tmp_path / "short.flac", tmp_path / "w", "full") == []


def test_intervals_hold_the_truth_and_narrow():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(40):
        values = (rng.random((1, 400)) < 0.7).astype(float)
        found = resampled_mean(values, seed)
        covered += found.low <= 0.7 <= found.high
    assert covered >= 34
    wide, narrow = (resampled_mean((rng.random((1, size)) < 0.7).astype(float)) for size in (100, 10_000))
    assert narrow.high - narrow.low < (wide.high - wide.low) / 5
    apart = np.stack([np.full(500, value) for value in (0.6, 0.7, 0.8)])  # seeds that differ widen it
    assert resampled_mean(apart).high - resampled_mean(apart).low > 0.1
    scores = rng.normal(size=(2, 200))
    ratings = scores.mean(axis=0)
    found = resampled_correlation(scores, ratings)
    assert 0.5 < found.low < found.value < found.high < 1


def test_verdicts():
    above, below, around = Estimate(1, 0.5, 2), Estimate(-1, -2, -0.5), Estimate(0.1, -1, 1)
    assert verdict("human", above) == verdict("cross_entropy", below) == "yes"
    assert "other way" in verdict("human", below)
    assert "not to be told" in verdict("human", around)
