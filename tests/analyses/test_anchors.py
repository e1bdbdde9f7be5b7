"""Anchor calibration: an offset is found and repaired, none is left alone, and no test pair is learned from."""

import csv
import json

import numpy as np
import pytest

from experiments.analyses.anchors import ALL, Anchors, calibrated, main
from experiments.analyses.calibration import calibrate, draw_anchors, fit_offset, known_pairs
from music.errors import InputError
from tests.analyses.battles import battle, offset_world, write

TASK = ("MusicArena", "preference")


def accuracy(rows, generator="model 0", **options):
    pairs = known_pairs(rows)[TASK]
    lines = calibrated({generator: pairs[generator]}, **{"anchors": 100, "draws": 10, "seed": 0, **options})
    (line,) = [line for line in lines if line["metric"] == "ACC"]
    return line


def test_an_offset_is_repaired():
    line = accuracy(offset_world(1000, 1.5))
    assert line["low"] > 0.05
    assert line["lowest"] > 0.05  # whichever anchors are drawn
    assert line["offset"] < -1
    truth = accuracy(offset_world(1000, 0.0))
    assert line["after"] == pytest.approx(truth["before"], abs=0.02)  # nothing of the harm is left


def test_without_an_offset_nothing_is_lost():
    found = [accuracy(offset_world(1000, 0.0, seed))["difference"] for seed in range(6)]
    assert abs(np.mean(found)) < 0.01
    assert min(found) > -0.02


def test_a_wrong_unit_of_the_score_does_not_matter():
    rows = offset_world(600, 1.0)
    for row in rows:
        row["predicted_musicality"] = 1.0 + 40 * (row["predicted_musicality"] - 1.0)
    line, other = accuracy(rows), accuracy(offset_world(600, 1.0))
    assert line["difference"] == pytest.approx(other["difference"])
    assert line["temperature"] == pytest.approx(other["temperature"] / 40)


def test_the_offset_of_anchors_by_hand():
    sides = np.array([1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    votes = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])  # the generator loses five of six
    temperature, offset = fit_offset(np.zeros(6), sides, votes)
    assert temperature == pytest.approx(1.0, abs=1e-4)  # equal scores say nothing of it
    # at the most probable offset: 5 sigmoid(o) - 1 sigmoid(-o) + o = 0
    assert 6 / (1 + np.exp(-offset)) - 1 + offset == pytest.approx(0, abs=1e-4)


def test_pairs_are_seen_from_the_generator():
    rows = [
        battle(0, 1.0, 0, "A", model_a="x", model_b="y"),
        battle(2, -3.0, 0, "A", model_a="y", model_b="x"),
        battle(4, 2.0, 0, "A", model_a="x", model_b="x"),  # tells nothing of x
        battle(6, 2.0, 0, "A", model_a="", model_b="x"),
        battle(8, 2.0, 0, "TIE", model_a="x", model_b="y"),
        battle(10, 2.0, 0, "B", model_a="y", model_b="z"),
    ]
    pairs = known_pairs(rows)[TASK]
    assert list(pairs) == ["x", "y", "z"]
    assert pairs["x"].sides.tolist() == [1, -1]
    assert pairs["y"].sides.tolist() == [-1, 1, 1]
    assert pairs["z"].votes.tolist() == [0]
    np.testing.assert_allclose(pairs["x"].gaps * pairs["x"].scale, [1.0, -3.0])
    assert pairs["x"].scale == pytest.approx(np.std([1.0, -3.0, 2.0]))


def test_prompts_with_anchors_are_not_asked_about():
    prompts = [number // 3 for number in range(60)]
    for draw in range(5):
        drawn = draw_anchors(prompts, 10, np.random.default_rng(draw))
        assert (drawn == 1).sum() == 10
        taught = {prompt for prompt, one in zip(prompts, drawn, strict=True) if one == 1}
        assert all((prompt in taught) == (one != 0) for prompt, one in zip(prompts, drawn, strict=True))


def test_pairs_are_judged_by_what_others_taught():
    pairs = known_pairs(offset_world(300, 1.0))[TASK]["model 0"]
    found, fits = calibrate(pairs, 40, 3, 0)
    asked = ~np.isnan(found[..., 0, 0])
    assert len(np.unique(fits[:, 1])) == 3  # other anchors each time
    turned = known_pairs(offset_world(300, 1.0))[TASK]["model 0"]
    turned.votes[asked[0]] = 1 - turned.votes[asked[0]]
    assert np.array_equal(calibrate(turned, 40, 1, 0)[1][0], fits[0])
    before = (np.sign((2 * pairs.votes - 1) * pairs.gaps) + 1) / 2
    np.testing.assert_array_equal(found[0, asked[0], 0, 0], before[asked[0]])


def test_the_command_writes_table_page_and_figure(tmp_path, capsys):
    results = write(tmp_path / "results.jsonl", offset_world(260, 1.5, generators=3))
    options = {"anchors": 30, "draws": 4}
    main(Anchors(results, tmp_path / "out", **options))
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["generator"] for row in rows] == [
        name for name in ("model 0", "model 1", "model 2", ALL) for _ in range(2)
    ]
    for row in rows:
        assert float(row["after"]) - float(row["before"]) == pytest.approx(float(row["difference"]))
        assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
        assert float(row["lowest"]) <= float(row["highest"])
    page = (tmp_path / "out" / "table.md").read_text()
    assert "30 of them" in page
    assert "[0, 3]" in page
    assert page == capsys.readouterr().out
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5_000
    main(Anchors(results, tmp_path / "again", **options))
    assert (tmp_path / "again" / "table.csv").read_bytes() == (tmp_path / "out" / "table.csv").read_bytes()


def test_generators_with_few_pairs_are_told(tmp_path):
    rows = offset_world(200, 1.0, generators=2)
    rows += [battle(900, 1.0, 0, "A", model_a="model 0", model_b="rare")]
    results = write(tmp_path / "results.jsonl", rows)
    main(Anchors(results, tmp_path / "out", anchors=20, draws=2))
    left = {"rare (MusicArena, preference)": 1}
    assert json.loads((tmp_path / "out" / "run.json").read_text())["left_out"] == left
    assert "Too few pairs: rare (MusicArena, preference), 1." in (tmp_path / "out" / "table.md").read_text()
    with pytest.raises(InputError, match=r"10 are left beside --anchors 200: the most are 201 of model 0"):
        main(Anchors(results, tmp_path / "no", anchors=200))
    nameless = write(tmp_path / "nameless.jsonl", [battle(number, 1.0, 0, "A") for number in range(9)])
    with pytest.raises(InputError, match="name no model_a and model_b"):
        main(Anchors(nameless, tmp_path / "no"))
    with pytest.raises(InputError, match="--draws must be at least 1"):
        Anchors(results, draws=0)
