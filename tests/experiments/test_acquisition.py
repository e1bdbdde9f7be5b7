"""The comparison of ways to choose pairs: what loops have left is paired by prompt and seed, and loops share clips."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.acquisition import command
from experiments.acquisition.curves import BEST, ORDER, curves_of
from experiments.acquisition.loops import HeldOutClips
from experiments.acquisition.options import CompareAcquisitions
from experiments.acquisition.report import write_curves
from music.candidate import Candidate
from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line
from music.pool import Pool

PROMPTS, N = 20, 6
OPTIONS = CompareAcquisitions(
    acquisitions="random,mix", seeds=2, rounds=2, budget=10, held_out_n=N, device="cpu"
)


def candidate(prompt, index):
    names = {
        "file_name": "x.flac",
        "text": "x",
        "lyrics": "",
        "reference": "",
        "facts": "{}",
        "generator": "g",
    }
    numbers = {"seed": 1, "seconds": 1.0, "sample_rate": 16_000, "gain": 1.0}
    made = {"spec": "s", "sha256": f"{prompt}-{index}", "tokens": "", "tokens_sha256": ""}
    return Candidate(prompt_id=f"p{prompt:02d}", candidate=index, **names, **numbers, **made)


@pytest.fixture
def study(tmp_path):
    """Return options, loops that have ended and clips: `mix` finds the judge at once, `random` in its second round."""
    options = replace(OPTIONS, output=tmp_path / "study")
    stream = np.random.default_rng(0)
    heard, first = stream.normal(size=(2, PROMPTS, N))
    clips = [[candidate(prompt, index) for index in range(N)] for prompt in range(PROMPTS)]
    loops = {(way, seed): options.loop_of(way, seed) for seed in range(2) for way in options.ways}
    for (way, seed), loop in loops.items():
        for index in range(2):
            rewards = stream.normal(size=heard.shape) if (way, index) == ("random", 0) else heard
            shared = {"scorer": f"round-{index}", "hash": f"{way}{seed}"}
            rows = [
                {"prompt_id": one.prompt_id, "candidate": one.candidate, "sha256": one.sha256, **shared}
                | {"scores": {"musicality": float(value), "alignment": float(value)}}
                for row, values in zip(clips, rewards, strict=True)
                for one, value in zip(row, values, strict=True)
            ]
            # those of another loop that the clips came from have the same name and no say
            foreign = [
                row | {"hash": "other", "scores": {"musicality": 0.0, "alignment": 0.0}} for row in rows
            ]
            folder = loop.output / "held_out" / "pool" / "scores"
            write_text(folder / f"round-{index}.jsonl", "".join(map(dump_line, [*rows, *foreign])))
            done = {"round": index, "reward_hash": shared["hash"]}
            write_text(loop.place(index) / "round.json", dump_line(done))
    return options, loops, HeldOutClips(clips, first, {"judge": heard})


def test_ways_are_compared_at_equal_and_at_twice_as_many_answers(study):
    _, loops, judged = study
    heard = judged.judges["judge"]
    found = {(one.measure, one.way, one.answers): one for one in curves_of(loops, judged)}
    best = heard.max(axis=1).mean()
    assert found[BEST, "mix", 10].value.value == pytest.approx(best)
    assert found[BEST, "mix", 10].to_random.low > 0
    assert found[BEST, "mix", 10].to_twice.value == 0  # as good as twice as many at random
    assert found[BEST, "mix", 20].to_random.value == 0
    assert found[BEST, "random", 10].to_twice.high < 0
    assert np.isnan(found[BEST, "mix", 20].to_twice.value)  # nobody asked as often
    start = np.take_along_axis(heard, judged.rewards.argmax(axis=1)[:, None], axis=1).mean()
    for way in ("random", "mix"):
        assert found[BEST, way, 0].value.value == pytest.approx(start)
    assert found[BEST, "mix", 20].gain.value == pytest.approx(best - start)
    assert found[ORDER, "mix", 20].value.value == pytest.approx(1)
    assert abs(found[ORDER, "random", 10].value.value) < 0.3


def test_the_page_says_what_chosen_pairs_are_worth(study):
    options, loops, judged = study
    write_curves(options, curves_of(loops, judged))
    page = (options.output / "table.md").read_text()
    assert "- mix, 10 answers against 20 at random: +0.000" in page
    with (options.output / "table.csv").open() as file:
        rows = {(row["measure"], row["acquisition"], row["answers"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * 2 * 3
    assert float(rows[BEST, "mix", "10"]["to_random_low"]) > 0
    assert rows[BEST, "mix", "20"]["to_twice"] == ""
    assert (options.output / "curves.png").stat().st_size > 10_000


def test_a_loop_that_was_not_finished_is_named(study):
    _, loops, judged = study
    lost = loops["mix", 1].output / "held_out" / "pool" / "scores" / "round-1.jsonl"
    lost.unlink()
    with pytest.raises(InputError, match=r"mix-1/held_out/pool lacks scores of round 1"):
        curves_of(loops, judged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acquisitions": "random,luck"}, "--acquisitions: 'luck' is unknown: expected random, best_second"),
        ({"acquisitions": "mix"}, "--acquisitions mix: name each once, and random among them"),
        ({"acquisitions": "random,random"}, "name each once"),
        ({"judges": ""}, "--judges is empty"),
        ({"loop": "speed=3"}, "--loop speed: is no option of the loop that is free here"),
        ({"loop": "budget=3"}, "--loop budget: is no option of the loop that is free here"),
        ({"loop": "rater_scale=-1"}, "--rater_scale must be above 0, got -1"),
        ({"n": 1}, "--n must be at least 2"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
    ],
)
def test_what_no_loop_would_take_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        CompareAcquisitions(**changes)


@pytest.mark.slow
def test_loops_share_clips_and_a_second_run_does_nothing_again(tmp_path, monkeypatch, capsys):
    rows = Path("assets/lab/prompts_choosing.jsonl").read_text().splitlines(keepends=True)[:3]
    (tmp_path / "held_out.jsonl").write_text("".join(rows))
    options = replace(
        OPTIONS, rounds=1, seeds=1, budget=6, ensemble=None, limit=3, n=4, seconds=1.0, held_out_n=2,
        held_out=str(tmp_path / "held_out.jsonl"), loop="steps=1,batch_size=4,validation=0.34",
        output=tmp_path / "out", workers=2,
    )  # fmt: skip
    command.main(options)
    assert "at random" not in capsys.readouterr().out  # one round: nobody asked twice as often
    pools = [Pool(options.output / place / "pool") for place in ("clips", "loops/random-0", "loops/mix-0")]
    assert len({os.stat(pool.path(pool.candidates[0])).st_ino for pool in pools}) == 1
    assert not list((options.output / "loops" / "mix-0").glob("embeddings"))
    monkeypatch.setattr("experiments.acquisition.loops.run_command", lambda *_, **__: None)
    before = (options.output / "table.csv").read_text()
    command.main(options)
    assert (options.output / "table.csv").read_text() == before
