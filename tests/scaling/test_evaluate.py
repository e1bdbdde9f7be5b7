"""Best of n measured on pools that exist, by any scorers."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from music.command import parse_command
from music.errors import InputError
from music.intervals import FEWEST
from music.pool import Pool
from reward import RewardWeights
from scaling.evaluate import Evaluate, complete, for_people, main, measure
from tests.scaling.noise_pool import RATE, clip, make_noise_pool


@pytest.fixture
def pool(tmp_path):
    return make_noise_pool(tmp_path, prompts=12, n=5)


@pytest.fixture
def options(pool, tmp_path):
    return Evaluate(
        str(pool.pool.folder),
        best_of="1,2",
        reward="loudness",
        weights="loudness=1",
        device="cpu",
        output=tmp_path / "out",
    )


def table_of(options):
    """Evaluate and return the rows of ``table.csv``."""
    main(options)
    return list(csv.DictReader((options.output / "table.csv").open()))


def test_the_table_of_a_pool(pool, options, capsys):
    folder, output = pool.pool.folder, options.output
    rows = table_of(replace(options, best_of="1,2,5", judges="constant"))
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
    tables = [(output / f"table.{kind}").read_text() for kind in ("md", "tex")]
    assert r"\toprule" in tables[1]
    for table in tables:
        assert "A star: the gain over n = 1 is above 0." in table
        assert "12 prompts x 5 of test" in table  # the name of the folder of this test
        assert str(folder) not in table
    scored = (folder / "scores" / "loudness.jsonl").stat().st_mtime_ns
    main(options)
    assert (folder / "scores" / "loudness.jsonl").stat().st_mtime_ns == scored  # nothing is scored twice


def test_means_are_those_of_the_best_of_all_subsets():
    rewards = np.array([[1.0, 3.0, 2.0], [0.0, -1.0, 5.0]])
    lines = measure(
        {"musicality": rewards, "other": -rewards}, RewardWeights.parse("musicality"), [1, 2, 3], 0
    )
    means = {(line.n, line.metric): line.value.value for line in lines}
    assert means[1, "musicality"] == pytest.approx(10 / 6)
    assert means[2, "musicality"] == pytest.approx(((3 + 2 + 3) / 3 + (0 + 5 + 5) / 3) / 2)
    assert means[3, "other"] == -means[3, "reward"] == -4


def test_a_star_says_that_the_gain_is_above_chance():
    generator = np.random.default_rng(0)
    rewards = generator.standard_normal((40, 6))
    found = measure(
        {"a": rewards, "b": generator.standard_normal((40, 6))}, RewardWeights.parse("a"), [1, 6], 0
    )
    _, rows = for_people(found)
    assert [cell.endswith("*") for cell in rows[1][1:]] == [True, True, False]
    assert not any(cell.endswith("*") for cell in rows[0])


def test_judges_may_have_metrics_of_the_same_names(options):
    names = [f"tests.scaling.loudness_scorer:{kind}Scorer" for kind in ("Loudness", "Constant", "Gold")]
    options = replace(options, reward=names[0], weights="musicality,alignment", judges=",".join(names[1:]))
    rows = table_of(options)
    metrics = ["reward", "musicality", "alignment", "constant.musicality", "constant.alignment", "peak"]
    assert [row["metric"] for row in rows if row["n"] == "2"] == metrics
    assert {row["mean"] for row in rows if row["metric"] == "constant.alignment"} == {"2.0"}
    assert {row["metric"] for row in rows if row["chooses"] == "yes"} == set(metrics[:3])
    with pytest.raises(InputError, match=r"two scorers are called 'loudness'.*another name"):
        main(replace(options, judges=names[0]))


def test_a_judge_is_measured_on_the_prompts_that_it_can_score(pool, options, tmp_path, capsys):
    options = replace(options, judges="tests.scaling.loudness_scorer:LyricsScorer")
    rows = table_of(options)
    assert {(row["metric"], row["prompts"]) for row in rows} == {
        ("reward", "12"),
        ("loudness", "12"),
        ("sung", "1"),
    }
    (sung,) = [float(row["mean"]) for row in rows if row["metric"] == "sung" and row["n"] == "1"]
    levels = [clip(one.seed, RATE, 1).waveform.square().mean() for one in pool.candidates[1]]
    assert sung == pytest.approx(np.mean(levels), rel=1e-3)
    assert "sung of 1 of 12 prompts" in (tmp_path / "out" / "table.md").read_text()
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert len(told) == 11
    assert "left out: lyrics on prompt 'song/0 <b>': there are no lyrics" in told
    silent = make_noise_pool(tmp_path / "silent", prompts=1, n=2).pool.folder
    main(replace(options, pools=str(silent)))
    (cells,) = [line for line in (tmp_path / "out" / "table.md").read_text().splitlines() if "n = 2" in line]
    assert cells.endswith("| – |")


def test_few_prompts_have_neither_interval_nor_star():
    generator = np.random.default_rng(1)
    rewards = generator.standard_normal((FEWEST, 4))
    for prompts, ends in ((FEWEST, True), (FEWEST - 1, False), (1, False)):
        found = measure({"a": rewards[:prompts]}, RewardWeights.parse("a"), [1, 4], 0)
        assert {line.row()[name] is not None for line in found for name in ("low", "high", "gain_low")} == {
            ends
        }
        _, rows = for_people(found)
        assert [("[" in cell, cell.endswith("*")) for cell in rows[1][1:]] == [(ends, ends)] * 2


@pytest.mark.parametrize(
    ("value", "text"), [(0.03125, "0.0312 [0.0312, 0.0312]"), (0.3, "0.300 [0.300, 0.300]")]
)
def test_a_metric_that_finds_everything_equal_is_shown_with_its_digits_and_no_star(value, text):
    rewards = np.random.default_rng(0).standard_normal((FEWEST, 7))
    metrics = {"a": rewards, "b": np.full_like(rewards, value)}
    found = measure(metrics, RewardWeights.parse("a"), [1, 3, 7], 0)
    _, rows = for_people(found)
    assert [row[-1] for row in rows] == [text] * 3


def test_pools_of_one_generator_are_told_apart():
    def names(*pools):
        reward, numbers = RewardWeights.parse("a"), [1, 2]
        found = measure({"a": np.eye(2)}, reward, numbers, 0)
        found = [replace(one, pool=pool, generator=name) for pool, name in pools for one in found]
        return [row[0] for row in for_people(found)[1]]

    pools = [("p", "g"), ("q", "g"), ("r", "h")]
    assert names(*pools) == [f"{name}, n = {n}" for name in ("g (p)", "g (q)", "h (r)") for n in (1, 2)]
    folders = [("/data/runs/a/pool", "g"), ("/data/runs/b/pool", "g"), ("/other/runs/a/pool", "g")]
    assert names(*folders[:2]) == [f"g ({name}), n = {n}" for name in ("a", "b") for n in (1, 2)]
    apart = ("data/runs/a", "data/runs/b", "other/runs/a")
    assert names(*folders) == [f"g ({name}), n = {n}" for name in apart for n in (1, 2)]
    made = [("p", "folder:/data/clips"), ("q", "/data/runs/grpo/model"), ("r", "facebook/musicgen-small")]
    assert names(*made)[::2] == ["clips, n = 1", "grpo, n = 1", "facebook/musicgen-small, n = 1"]
    made = [("p", "folder:/a/clips"), ("q", "folder:/b/clips")]
    assert names(*made)[::2] == ["a/clips, n = 1", "b/clips, n = 1"]
    assert names(*pools[1:]) == ["g, n = 1", "g, n = 2", "h, n = 1", "h, n = 2"]


def test_every_prompt_counts_with_as_many_candidates(pool):
    assert [len(row) for row in complete(pool.pool, 5)] == [5] * 12
    with pytest.raises(InputError, match=r"has 5 candidates for prompt .*, fewer than the 6 of --best_of"):
        complete(pool.pool, 6)


def test_an_output_that_is_a_file_is_refused_before_any_clip_is_scored(pool, options):
    options.output.touch()
    with pytest.raises(InputError, match=r"cannot write .*out: File exists"):
        main(options)
    assert not (pool.pool.folder / "scores" / "loudness.jsonl").exists()


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="--best_of must be numbers above 0"):
        Evaluate("pool", best_of="1,0")
    assert parse_command(Evaluate, ["pool", "--n", "2,5"]).numbers == [2, 5]  # as it was called before
    with pytest.raises(InputError, match=r"the pool .*/runs/a is named twice"):
        Evaluate("runs/a,runs/b,runs/../runs/a/")
    with pytest.raises(InputError, match="name a pool"):
        parse_command(Evaluate, [""])
    (tmp_path / "pool").mkdir()
    with pytest.raises(InputError, match="empty"):
        complete(Pool(tmp_path / "pool", create=True), 1)
