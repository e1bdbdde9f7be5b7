"""What decides a vote: known coefficients are found, ties and folds are treated as told."""

import csv

import numpy as np
import pytest

from experiments.analyses.arena import (
    Arena,
    battles,
    coefficients_of,
    folds_of,
    main,
    out_of_fold,
    predictions_of,
)
from experiments.analyses.logistic import fit_logistic
from music.errors import InputError
from tests.analyses.battles import battle, regressed, sigmoid, write


def by_name(lines):
    return {(line["of"], line["metric"]): line for line in lines}


def test_known_coefficients_lie_in_their_intervals():
    true = {"first clip": 0.3, "musicality": 1.0, "alignment": 0.5}
    values, prompts = battles(regressed(1500, *true.values()))
    found = by_name(coefficients_of(values, prompts, 0))
    for name, value in true.items():
        line = found[name, "coefficient"]
        assert line["low"] < value < line["high"]
        assert line["high"] - line["low"] < 0.5
    for place, name in enumerate(("musicality", "alignment")):
        expected = found[name, "coefficient"]["value"] * values[:, place].std()
        assert found[name, "standardized"]["value"] == pytest.approx(expected)
    dominance = found["musicality minus alignment", "standardized"]
    assert 0 < dominance["low"] < 1.5 * 1.0 - 0.7 * 0.5 < dominance["high"]


def test_the_best_predictor_is_the_one_that_decides():
    values, prompts = battles(regressed(1200, 0.0, 2.0, 0.0))
    found = by_name(predictions_of(values, prompts, 5, 0))
    assert found["alignment", "ACC"]["low"] < 0.5 < found["alignment", "ACC"]["high"]
    assert found["musicality", "ACC"]["low"] > 0.75
    assert found["fitted", "AUC"]["value"] == pytest.approx(found["musicality", "AUC"]["value"], abs=0.005)
    assert found["fitted", "MSE"]["value"] < found["mean", "MSE"]["value"]
    gain = found["fitted minus musicality", "ACC"]
    assert gain["low"] <= gain["value"] <= gain["high"] < 0.01  # there is nothing to gain
    assert gain["value"] == pytest.approx(
        found["fitted", "ACC"]["value"] - found["musicality", "ACC"]["value"]
    )


def test_numbers_of_four_battles_by_hand():
    rows = [battle(0, 1.0, 0, "A"), battle(2, 2.0, 0, "B"), battle(4, -1.0, 0, "B"), battle(6, 0.0, 0, "A")]
    values, prompts = battles(rows)
    found = by_name(predictions_of(values, prompts, 2, 0))
    assert found["musicality", "ACC"]["value"] == (1 + 0 + 1 + 0.5) / 4  # equal scores count half
    assert (
        found["musicality", "AUC"]["value"] == (1 + 0 + 1 + 0) / 4
    )  # of a's votes above b's: 1 > -1, 0 > -1
    errors = [1 - sigmoid(1), sigmoid(2), sigmoid(-1), 0.5]
    assert found["musicality", "MSE"]["value"] == pytest.approx(np.mean(np.square(errors)))
    assert found["alignment", "ACC"]["value"] == found["alignment", "AUC"]["value"] == 0.5


def test_only_decided_battles_with_both_predictions_count():
    rows = regressed(30, 0, 1, 1)
    rows[0]["preference"], rows[1]["preference"], rows[2]["preference"] = "TIE", "BOTH_BAD", ""
    del rows[3]["predicted_text-music alignment_b"]
    rows[4]["split"] = "train"
    rows[5]["source"] = "cmi-arena-annotation"
    assert len(battles(rows)[0]) == 24


def test_prompts_are_never_split_between_folds():
    prompts = [number // 3 for number in range(31)]
    folds = folds_of(prompts, 5, 0)
    assert all(len(set(folds[np.array(prompts) == prompt])) == 1 for prompt in prompts)
    assert sorted(len({prompts[row] for row in np.flatnonzero(folds == fold)}) for fold in range(5)) == [
        2,
        2,
        2,
        2,
        3,
    ]
    assert (folds == folds_of(prompts, 5, 0)).all()
    assert (folds != folds_of(prompts, 5, 1)).any()
    with pytest.raises(InputError, match="11 prompts cannot be split into 12 folds"):
        folds_of(prompts, 12, 0)


def test_a_vote_is_predicted_by_a_fit_that_has_not_seen_it():
    values, prompts = battles(regressed(200, 0, 1, 1))
    folds = folds_of(prompts, 4, 0)
    chances = out_of_fold(values, folds)
    turned = values.copy()
    turned[folds == 2, 2] = 1 - turned[folds == 2, 2]
    again = out_of_fold(turned, folds)
    assert np.array_equal(chances[folds == 2], again[folds == 2])
    assert not np.isclose(chances[folds != 2], again[folds != 2]).all()


def test_the_fit_has_no_slope_left():
    rng = np.random.default_rng(0)
    features, votes = rng.normal(size=(50, 3)), rng.integers(2, size=50).astype(float)
    expected, spread = np.array([0.5, 0.0, -1.0]), np.array([0.3, 1.0, 10.0])
    fit = fit_logistic(features, votes, expected, spread)
    slope = features.T @ (sigmoid(features @ fit) - votes) + (fit - expected) / spread**2
    np.testing.assert_allclose(slope, 0, atol=1e-4)
    apart = fit_logistic(features, (features[:, 0] > 0).astype(float), np.zeros(3), np.full(3, 10.0))
    assert np.isfinite(apart).all()
    assert apart[0] > 5


def test_the_command_writes_table_page_and_figure(tmp_path, capsys):
    results = write(tmp_path / "results.jsonl", regressed(120, 0.0, 1.0, 0.2))
    main(Arena(results, tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert len(rows) == 6 + 4 * 3 + 1
    assert {row["n"] for row in rows} == {"120"}
    assert {row["prompts"] for row in rows} == {"60"}
    page = (tmp_path / "out" / "table.md").read_text()
    assert "120 decided battles of 60 prompts" in page
    assert "seed 0" in page
    assert page == capsys.readouterr().out
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5_000
    main(Arena(results, tmp_path / "again"))
    assert (tmp_path / "again" / "table.csv").read_bytes() == (tmp_path / "out" / "table.csv").read_bytes()


def test_what_cannot_be_analysed_is_refused(tmp_path):
    rows = regressed(20, 0, 1, 1)
    for row in rows:
        row["preference"] = "TIE"
    with pytest.raises(InputError, match="holds no battle of Music Arena"):
        main(Arena(write(tmp_path / "results.jsonl", rows), tmp_path / "out"))
    with pytest.raises(InputError, match="--folds must be at least 2"):
        Arena(tmp_path, folds=1)
    with pytest.raises(InputError, match="--folds must be at least 2, got 0"):
        Arena(tmp_path, folds=0)
    assert not (tmp_path / "out").exists()
