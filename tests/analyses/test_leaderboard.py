"""The leaderboard: known strengths are found, small boards are those of hand computation, pools are real."""

import csv
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.analyses.leaderboard import (
    Leaderboard,
    main,
    on_shared_prompts,
    pools_in,
    ranked,
    win_shares,
)
from music.clips import Clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward.registry import load_scorer
from reward.scoring.pool import score_pool

pytest.importorskip("choix", reason="needs the extra analyses")


def fill(folder, generator, levels, text="tone", first=0):
    """Fill a pool with tones of known levels, `[prompts, candidates]` in dBFS."""
    prompts = [Prompt(f"p{number + first:02}", f"{text} {number + first}") for number in range(len(levels))]
    pool, spec = Pool(folder, create=True), {"seconds": 0.05}
    tone = math.sqrt(2) * torch.sin(torch.arange(400) * 2 * math.pi / 20)  # of mean square 1
    rows = {prompt.id: row for prompt, row in zip(prompts, levels, strict=True)}
    with pool.writer(generator, spec) as writer:
        for prompt, index, seed in pool.missing(prompts, len(levels[0]), 0, spec, Processes({})):
            level = rows[prompt.id][index]
            writer.add(prompt, index, seed, Clip((10 ** (level / 20) * tone)[None].float(), 8000))
    pool.merge()
    return Pool(folder)


def board(pools, output, **options):
    return Leaderboard(
        ",".join(map(str, pools)),
        reward="loudness",
        weights="loudness=1",
        output=output,
        device="cpu",
        **options,
    )


def table(folder, name="table"):
    return list(csv.DictReader((folder / f"{name}.csv").open()))


def test_known_strengths_lie_in_their_intervals():
    true = np.array([0.9, 0.2, -0.3, -0.8])
    rewards = true[:, None, None] + np.random.default_rng(0).gumbel(
        size=(4, 400, 1)
    )  # whose order is Bradley-Terry's
    lines = ranked(win_shares(list(rewards)), list("abcd"), 0)
    points = {line["system"]: line for line in lines if line["metric"] == "points"}
    assert list(points) == list("abcd")
    for name, value in zip("abcd", true, strict=True):
        assert points[name]["low"] < 1500 + 400 * value < points[name]["high"]
        assert points[name]["high"] - points[name]["low"] < 150
    ahead = [line for line in lines if line["metric"] == "ahead of the next"]
    assert [line["system"] for line in ahead] == list("abc")
    assert ahead[0]["value"] == pytest.approx(points["a"]["value"] - points["b"]["value"])
    assert ahead[0]["low"] < 400 * 0.7 < ahead[0]["high"]


def test_two_systems_by_hand():
    rewards = [
        np.array([[1.0]] * 12),
        np.array([[0.0]] * 7 + [[2.0]] * 3 + [[1.0]] * 2),
    ]  # 7 wins, 3 losses, 2 ties
    wins = win_shares(rewards)
    assert wins.sum(axis=0).tolist() == [[0, 8], [4, 0]]
    points = [line["value"] for line in ranked(wins, ["first", "second"], 0) if line["metric"] == "points"]
    assert points == pytest.approx([1500 + 200 * math.log(8.5 / 4.5), 1500 - 200 * math.log(8.5 / 4.5)])


def test_all_candidates_meet():
    wins = win_shares([np.array([[1.0, 3.0]]), np.array([[0.0, 2.0, 3.0]])])
    assert wins[0, 0, 1] == pytest.approx((1 + 0 + 0 + 1 + 1 + 0.5) / 6)
    assert wins[0, 0, 1] + wins[0, 1, 0] == 1


def test_pools_become_a_board(tmp_path, capsys):
    rng = np.random.default_rng(0)
    base = -20 + rng.normal(size=(3, 12, 2))
    for name, shift, levels in zip("abc", (0.0, 1.5, -1.5), base, strict=True):
        fill(tmp_path / name / "pool", f"model {name}", (levels + shift).tolist())
    pools = [tmp_path / name / "pool" for name in "abc"]
    score_pool(Pool(pools[0]), load_scorer("loudness"))
    scored = (pools[0] / "scores" / "loudness.jsonl").stat().st_mtime_ns
    main(board(pools, tmp_path / "out"))
    assert (pools[0] / "scores" / "loudness.jsonl").stat().st_mtime_ns == scored  # nothing is scored twice
    expected = ranked(win_shares([levels + shift for levels, shift in zip(base, (0, 1.5, -1.5), strict=True)]),
                      ["model a", "model b", "model c"], 0)  # fmt: skip
    rows = table(tmp_path / "out")
    assert [(row["system"], row["metric"]) for row in rows] == [
        (one["system"], one["metric"]) for one in expected
    ]
    assert [row["system"] for row in rows[::2]] == ["model b", "model a", "model c"]
    for row, line in zip(rows, expected, strict=True):
        assert float(row["value"]) == pytest.approx(line["value"], abs=0.01)
    page = (tmp_path / "out" / "table.md").read_text()
    assert "12 prompts, 2 candidates of model a" in page
    assert page == capsys.readouterr().out
    (share,) = [
        float(row["model c"]) for row in table(tmp_path / "out", "wins") if row["system"] == "model b"
    ]
    assert f"{100 * share:.1f}" in page
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5_000
    main(board([tmp_path], tmp_path / "below"))  # the pools below a folder
    assert table(tmp_path / "below") == rows


def test_systems_of_the_same_name_are_told_apart_and_prompts_are_shared(tmp_path):
    fill(tmp_path / "one", "model", [[-10.0]] * 4)
    fill(tmp_path / "two", "model", [[-20.0]] * 4, first=2)
    main(board([tmp_path / "one", tmp_path / "two"], tmp_path / "out"))
    rows = table(tmp_path / "out")
    assert rows[0]["system"] == "model (one)"
    assert {row["prompts"] for row in rows} == {"2"}
    assert {row["low"] for row in rows} == {""}  # two prompts tell nothing of the others
    assert float(rows[0]["value"]) == pytest.approx(1500 + 200 * math.log(2.5 / 0.5), abs=0.01)


def test_pools_that_cannot_be_compared_are_refused(tmp_path):
    one, other = (
        fill(tmp_path / "one", "a", [[-10.0]] * 3),
        fill(tmp_path / "two", "b", [[-10.0]] * 3, text="noise"),
    )
    with pytest.raises(InputError, match="prompt 'p00' has another text"):
        on_shared_prompts([one, other])
    with pytest.raises(InputError, match="no prompt in common"):
        on_shared_prompts([one, fill(tmp_path / "three", "c", [[-10.0]] * 3, first=3)])
    with pytest.raises(InputError, match="at least two pools"):
        main(board([tmp_path / "one"], tmp_path / "out"))
    with pytest.raises(InputError, match="is no pool"):
        pools_in(tmp_path / "nothing")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    with pytest.raises(InputError, match="'musicality'"):
        main(
            replace(
                board([tmp_path / "one", tmp_path / "copy"], tmp_path / "out"),
                weights="musicality",
            )
        )
    assert not (tmp_path / "out").exists()
