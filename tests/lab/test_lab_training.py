"""The lab's trainings resume to the bit, and its pairs are what they claim."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from experiments.lab.facts import LYRICS_FACTS
from experiments.lab.pairs import CONDITIONS, GAP, HELD_OUT, pair, write_pairs
from experiments.lab.prompts import write_prompts
from experiments.lab.spread import spread
from experiments.lab.train_codec import train_codec
from experiments.lab.training_loop import Schedule, train
from experiments.lab.wording import ADJECTIVES, CLAUSES
from generators.spectral_codec import SpectralCodecConfig
from music.prompts import load_prompts
from music.shipped_files import asset
from reward.preferences import load_preferences


class StoppedError(Exception):
    """Stands for a kill."""


def run_training(folder, stop_at=None):
    """Fit a line with dropout, and return the weights."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(4, 1))
    seen = []

    def loss_of_step(rng, batch_size):
        seen.append(1)
        if stop_at is not None and len(seen) > stop_at:
            raise StoppedError
        inputs = torch.from_numpy(rng.standard_normal((batch_size, 4))).float()
        return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    schedule = Schedule(steps=12, batch_size=8, check_every=4, warmup=2)
    train("line", model, schedule, loss_of_step, lambda: {"weight": model[1].weight.sum().item()}, folder)
    return model[1].weight.detach().clone()


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    whole = run_training(tmp_path / "whole")
    with pytest.raises(StoppedError):
        run_training(tmp_path / "killed", stop_at=6)
    assert torch.equal(run_training(tmp_path / "killed"), whole)
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    ]
    assert steps == [4, 8, 12]


def test_a_loss_that_learns_falls(tmp_path):
    schedule = Schedule(steps=60, batch_size=32, check_every=60, learning_rate=0.05, warmup=2)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def loss_of_step(rng, batch_size):
        inputs = torch.from_numpy(rng.standard_normal((batch_size, 3))).float()
        return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    first = loss_of_step(np.random.default_rng(0), 256).item()
    train("line", model, schedule, loss_of_step, dict, tmp_path)
    assert loss_of_step(np.random.default_rng(0), 256).item() < 0.2 * first


@pytest.fixture(scope="module")
def small_codec(tmp_path_factory):
    config = SpectralCodecConfig(codebook_size=16, num_codebooks=2, griffin_lim_iterations=2)
    return train_codec(tmp_path_factory.mktemp("codec"), songs=4, config=config)


@pytest.mark.parametrize("kind", CONDITIONS)
def test_pairs_are_answered_by_the_truth(kind):
    answers = set()
    for index in range(20):
        row, songs = pair("test", kind, index)
        a, b = songs["a"], songs["b"]
        assert abs(a.severity - b.severity) >= GAP
        assert (a.severity < b.severity) == (row["preference_musicality"] == "a")
        right, wrong = (a, b) if row["preference_alignment"] == "a" else (b, a)
        assert differing_facts(right, wrong) == set(row["facts"]["changed"])
        assert len(row["facts"]["changed"]) in (1, 2)
        assert bool(row["lyrics"]) == (kind in ("text+lyrics", "all"))
        if "reference" in songs:
            assert songs["reference"].facts == right.facts
            assert songs["reference"].composition().parts != right.composition().parts
        answers.add((row["preference_musicality"], row["preference_alignment"]))
    assert len(answers) == 4, "the two answers are independent"


def differing_facts(one, other):
    before, after = one.facts.as_dict(), other.facts.as_dict()
    return {name for name in before if before[name] != after[name]}


def test_contrasts_differ_only_in_what_the_lyrics_or_the_reference_tell():
    for index in range(20):
        row, songs = pair("test", "lyrics only", index)
        a, b = songs["a"], songs["b"]
        assert a.damage == b.damage
        assert row["preference_musicality"] == ""
        assert differing_facts(a, b) <= set(LYRICS_FACTS)
        notes = [one.composition().parts for one in (a, b)]
        assert all(notes[0][part] == notes[1][part] for part in notes[0] if part != "voice")
        assert row["lyrics"]
        assert "reference" not in songs

        row, songs = pair("test", "reference only", index)
        a, b = songs["a"], songs["b"]
        right, wrong = (a, b) if row["preference_alignment"] == "a" else (b, a)
        assert a.damage == b.damage
        assert row["preference_musicality"] == ""
        (hidden,) = differing_facts(right, wrong)
        assert songs["reference"].facts == right.facts
        for value in (wrong.facts.as_dict()[hidden], right.facts.as_dict()[hidden]):
            for phrase in (*ADJECTIVES.get((hidden, value), ()), *CLAUSES.get((hidden, value), ())):
                assert f" {phrase}," not in f" {row['text']},", "the caption tells"


def test_shipped_pairs_are_those_that_the_code_makes():
    rows = [json.loads(line) for line in asset("lab/pairs.jsonl").read_text().splitlines()]
    assert Counter(row["facts"]["kind"] for row in rows) == HELD_OUT
    for row in rows[::250]:
        kind, index = row["facts"]["kind"], int(row["id"][-5:])
        assert row == pair("test", kind, index)[0]


def test_workers_make_no_difference(tmp_path, small_codec):
    counts = {"text": 21, "reference only": 1}  # two chunks
    for workers in (1, 2):
        write_pairs(tmp_path / str(workers), "test", counts, small_codec, workers)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "1", tmp_path / "2")
    )
    assert len(one) == 2 * 21 + 3 + 2
    assert one == two


def test_an_error_in_a_worker_ends_the_work():
    with pytest.raises(ZeroDivisionError):
        spread((1).__truediv__, [2, 0, 4], 2, "halves")


def test_written_pairs_are_preference_rows_and_are_kept(tmp_path, small_codec):
    counts = dict.fromkeys(HELD_OUT, 1)
    path = write_pairs(tmp_path, "test", counts, small_codec)
    rows = load_preferences(path)
    assert [row.prompt.facts["kind"] for row in rows] == list(HELD_OUT)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "audio").iterdir()}
    path.unlink()
    write_pairs(tmp_path, "test", counts, small_codec)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "audio").iterdir()} == before


def test_shipped_prompts_are_those_that_the_script_writes(tmp_path):
    write_prompts(tmp_path / "prompts.jsonl")
    shipped, written = load_prompts("lab"), load_prompts(tmp_path / "prompts.jsonl")
    assert [(p.id, p.text, dict(p.facts)) for p in shipped] == [
        (p.id, p.text, dict(p.facts)) for p in written
    ]
    assert len(shipped) == 24
