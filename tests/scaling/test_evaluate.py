"""Best of n measured on pools that exist, by any scorers."""

import csv

import numpy as np
import pytest

from music.command import parse_command
from music.errors import InputError
from music.pool import Pool
from reward import Reward
from scaling.evaluate import Evaluate, complete, for_people, main, measure
from tests.scaling.noise_pool import make_noise_pool


@pytest.fixture
def pool(tmp_path):
    return make_noise_pool(tmp_path, prompts=12, n=5)


def test_the_table_of_a_pool(pool, tmp_path, capsys):
    folder, output = pool.pool.folder, tmp_path / "out"
    options = {
        "pools": str(folder),
        "reward": "loudness",
        "weights": "loudness=1",
        "n": "1,2,5",
        "device": "cpu",
    }
    main(Evaluate(**options, judges="constant", output=output))
    rows = list(csv.DictReader((output / "table.csv").open()))
    assert [(row["n"], row["metric"]) for row in rows] == [
        (n, metric) for n in "125" for metric in ("reward", "loudness", "constant")
    ]
    level = [float(row["mean"]) for row in rows if row["metric"] == "loudness"]
    assert level[0] < level[1] < level[2]
    gains = {row["n"]: row for row in rows if row["metric"] == "loudness"}
    assert float(gains["5"]["gain"]) == pytest.approx(level[2] - level[0])
    assert float(gains["1"]["gain"]) == 0
    assert all(float(row["gain_high"]) == 0 for row in rows if row["metric"] == "constant")
    assert {row["metric"]: row["chooses"] for row in rows} == {
        "reward": "yes",
        "loudness": "yes",
        "constant": "no",
    }
    page = (output / "table.md").read_text()
    assert page.count("noise, n = ") == 3
    assert page in capsys.readouterr().out
    assert r"\toprule" in (output / "table.tex").read_text()
    scored = (folder / "scores" / "loudness.jsonl").stat().st_mtime_ns
    main(Evaluate(**options, output=output))
    assert (folder / "scores" / "loudness.jsonl").stat().st_mtime_ns == scored  # nothing is scored twice


def test_means_are_those_of_the_best_of_all_subsets():
    rewards = np.array([[1.0, 3.0, 2.0], [0.0, -1.0, 5.0]])
    lines = measure({"musicality": rewards, "other": -rewards}, Reward.parse("musicality"), [1, 2, 3], 0)
    means = {(line["n"], line["metric"]): line["mean"] for line in lines}
    assert means[1, "musicality"] == pytest.approx(10 / 6)
    assert means[2, "musicality"] == pytest.approx(((3 + 2 + 3) / 3 + (0 + 5 + 5) / 3) / 2)
    assert means[3, "other"] == -means[3, "reward"] == -4


def test_a_star_says_that_the_gain_is_above_chance():
    generator = np.random.default_rng(0)
    rewards = generator.standard_normal((40, 6))
    found = measure({"a": rewards, "b": generator.standard_normal((40, 6))}, Reward.parse("a"), [1, 6], 0)
    _, rows = for_people([{"pool": "p", "generator": "g"} | line for line in found])
    assert [cell.endswith("*") for cell in rows[1][1:]] == [True, True, False]
    assert not any(cell.endswith("*") for cell in rows[0])


def test_every_prompt_counts_with_as_many_candidates(pool):
    assert [len(row) for row in complete(pool.pool, 5)] == [5] * 12
    with pytest.raises(InputError, match=r"has 5 candidates for prompt .*, fewer than the 6 of --n"):
        complete(pool.pool, 6)


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="--n must be numbers above 0"):
        Evaluate("pool", n="1,0")
    with pytest.raises(InputError, match="name a pool"):
        parse_command(Evaluate, [""], positionals=("pools",))
    (tmp_path / "pool").mkdir()
    with pytest.raises(InputError, match="empty"):
        complete(Pool(tmp_path / "pool", create=True), 1)
