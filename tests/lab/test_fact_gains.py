"""Every fact is measured alone, over the prompts that ask for it."""

import json
import math

import numpy as np
import pytest

from experiments.lab.fact_gains import FactGains, gains, main
from experiments.lab.gold_judge.songs import gold_song
from experiments.lab.world.coded_audio import clip_of
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt

NAN = float("nan")


def test_a_fact_that_the_reward_finds_and_one_that_it_loses():
    drums = np.array([[1.0, 0.0]] * 12)
    tempo = np.array([[0.0, 1.0]] * 6 + [[NAN, NAN]] * 5 + [[1.0, 1.0]])
    rewards = np.array([[2.0, 1.0]] * 12)
    other = {"drums": np.array([[1.0, 2.0]] * 12), "tempo": tempo, "mode": tempo}
    found = gains(rewards, {"drums": drums, "tempo": tempo, "mode": np.full((12, 2), NAN)}, other, 0)
    assert found.keys() == {"drums", "tempo"}  # nobody asks for the mode
    values = {name: [one.value for one in columns.values()] for name, columns in found.items()}
    assert values["drums"] == pytest.approx([0.5, 0.5, -0.5, 0.5])
    assert values["tempo"] == pytest.approx([4 / 7, -3 / 7, 3 / 7, 3 / 7])
    assert [columns["heard"].prompts for columns in found.values()] == [12, 7]
    assert math.isnan(found["tempo"]["reward"].low)  # seven prompts say nothing of chance


def test_a_pool_is_scored_and_listened_to(tmp_path, capsys):
    asked = [{"drums": True}, {"tempo": "slow"}] * 10
    prompts = [Prompt(f"p{index:02d}", "words", facts=facts) for index, facts in enumerate(asked)]
    pool = Pool(tmp_path / "pool", create=True)
    with pool.writer("songs", {}) as writer:
        for prompt, index, seed in pool.missing(prompts, 2, 0, {}, Processes({})):
            one = gold_song("test", 2 * int(prompt.id[1:]) + index, seconds=1.0)
            writer.add(prompt, index, seed, clip_of(one))
    pool.merge()
    options = FactGains(
        pool=pool.folder,
        reward="experiments.lab.gold:Gold",
        weights="gold_margin=1",
        output=tmp_path / "found.json",
        workers=1,
        device="cpu",
    )
    main(options)
    record = json.loads(options.output.read_text())
    assert (record["judge"], record["other"], record["n"]) == ("gold_b", "gold", 2)
    found = record["gains"]
    assert list(found) == ["tempo", "drums", "alignment", "musicality"]
    for name in ("tempo", "drums"):
        row = found[name]
        assert row["prompts"] == 10
        assert (
            row["reward"] == row["other"]
        )  # of a prompt that asks for one fact gold's margin is its log odds
        assert row["reward"]["value"] <= row["oracle"]["value"]
        assert row["oracle"]["low"] <= row["oracle"]["value"] <= row["oracle"]["high"]
    assert found["alignment"]["prompts"] == 20
    assert found["alignment"]["reward"] == found["alignment"]["other"]
    heard = [found[name]["heard"]["value"] for name in ("tempo", "drums", "alignment")]
    assert heard[2] == pytest.approx((heard[0] + heard[1]) / 2)
    table = capsys.readouterr().out
    assert "best of 2 by gold_margin=1 of gold, as gold_b hears it" in table
    assert "| drums | 10 |" in table
    with pool.writer("songs", {}) as writer:
        writer.add(prompts[0], 2, 0, clip_of(gold_song("test", 0, seconds=1.0)))
    pool.merge()
    with pytest.raises(InputError, match="every prompt needs as many candidates"):
        main(options)
