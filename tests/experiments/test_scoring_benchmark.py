"""The benchmarks of the towers: scoring measures both ways on the same clips, and embedding counts what it says."""

import json

import pytest
import torch

from experiments.benchmarks import embedding, scoring
from experiments.benchmarks.authors_loop import AuthorsLoop
from experiments.benchmarks.scoring import Job, ScoringSpeed, counted, main, make_jobs, random_cmi_rm
from music.errors import InputError
from reward.cmi_rm.scorer import CMIRMScorer

TINY = {"towers": "muq-mulan-tiny", "candidates": 5, "seconds": 0.5, "reference_seconds": 1.0, "matmul": 64}


def test_both_ways_are_timed_and_agree(capsys):
    main(ScoringSpeed(**TINY, turns=2))
    found = json.loads(capsys.readouterr().out)
    assert found["text"]["gflop"] < found["lyrics"]["gflop"] < found["reference"]["gflop"]
    for case in ("text", "lyrics", "reference"):
        for dtype in ("float32", "bfloat16"):
            part = found[case][dtype]
            assert part["seconds"]["ours"]["low"] > 0
            assert part["seconds"]["theirs"]["high"] > 0
        assert found[case]["float32"]["largest_difference"] < 1e-5


def test_the_arithmetic_of_all_threads_is_counted(tmp_path):
    job = make_jobs(ScoringSpeed(**TINY), tmp_path)["text"]
    scorer = CMIRMScorer(random_cmi_rm("muq-mulan-tiny", "float32"), device="cpu")
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(counted(job, scorer))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0] == found[1]
    more = [
        counted(Job(job.waves.repeat(times, 1), job.text, job.lyrics, job.reference), scorer)
        for times in (2, 3)
    ]
    assert more[1] - more[0] == more[0] - found[0] > 0


def test_the_authors_loop_encodes_the_prompt_again_for_every_candidate(tmp_path):
    loop, seen = AuthorsLoop(random_cmi_rm("muq-mulan-tiny", "float32"), torch.device("cpu")), []
    loop._hearing.model.register_forward_pre_hook(lambda module, given: seen.append(("audio", len(given[0]))))
    loop._reading.model.register_forward_pre_hook(
        lambda module, given, named: seen.append(("text", len(named["input_ids"]))), with_kwargs=True
    )
    job = make_jobs(ScoringSpeed(**TINY), tmp_path)["reference"]
    assert job.theirs(loop, torch.device("cpu"), "float32").shape == (5, 2)
    batches = [
        [("audio", size)] * 2 + [("text", size)] * 4 for size in (4, 1)
    ]  # candidates, references; twice both texts
    assert seen == [*batches[0], *batches[1]]


def measured(case="text", dtypes="float32,bfloat16", apart=0.0):
    """Return what is told of two turns whose times are known: theirs 12 and 8 s, ours 2 and 4, in bfloat16 half."""
    options = ScoringSpeed(**TINY, cases=case, dtypes=dtypes, turns=2)
    took = {
        (case, dtype, way): [second / scale for second in seconds]
        for dtype, scale in (("float32", 1), ("bfloat16", 2))
        for way, seconds in (("theirs", [12.0, 8.0]), ("ours", [2.0, 4.0]))
    }
    rates = {"float32": [1e9, 3e9, 2e9], "bfloat16": [4e9]}
    scores = {key: torch.full((5, 2), apart * (key[2] == "ours")) for key in took}
    return scoring._case(case, options, took, rates, scores, 2e9)


def test_ratios_and_rates_by_hand():
    found = measured()
    assert found["gflop"] == 2.0
    single, half = found["float32"], found["bfloat16"]
    assert single["seconds"]["ours"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert single["times_as_fast"] == half["times_as_fast"] == {"median": 4.0, "low": 2.0, "high": 6.0}
    assert half["times_as_fast_as_theirs_in_float32"] == {"median": 8.0, "low": 4.0, "high": 12.0}
    assert single["gflop_per_s"] == {"median": 0.75, "low": 0.5, "high": 1.0}
    assert (single["machine_gflop_per_s"], half["machine_gflop_per_s"]) == (2.0, 4.0)
    assert single["of_the_machine"] == {"median": 0.375, "low": 0.25, "high": 0.5}
    assert half["of_the_machine"] == {"median": 0.375, "low": 0.25, "high": 0.5}


def test_times_of_scores_that_differ_are_refused():
    assert measured(apart=9e-5)["float32"]["largest_difference"] == pytest.approx(9e-5)
    assert measured(dtypes="bfloat16", apart=0.1)["bfloat16"]["largest_difference"] == pytest.approx(0.1)
    with pytest.raises(InputError, match=r"text: the two ways differ by 0\.125"):
        measured(apart=0.125)


def test_unknown_names_and_impossible_lengths_are_refused():
    with pytest.raises(InputError, match="--cases must be among text, lyrics, reference, got 'x'"):
        ScoringSpeed(cases="text,x")
    with pytest.raises(InputError, match="--reference_seconds must lie between"):
        ScoringSpeed(reference_seconds=31)


def test_both_kinds_of_towers_are_measured(capsys):
    towers = "lab-mulan,muq-mulan-tiny"
    embedding.main(embedding.EmbeddingSpeed(towers=towers, clips=2, seconds=1.0, turns=2, matmul=64))
    found = json.loads(capsys.readouterr().out)
    lab, tiny = found["lab-mulan"], found["muq-mulan-tiny"]
    # 25 frames a second of 128 and of 64 channels
    sizes = {"float32": 46.08, "bfloat16": 23.04, "float16": 23.04}
    assert lab["gigabytes_per_1000_h"] == pytest.approx(sizes)
    assert tiny["gigabytes_per_1000_h"]["float32"] == pytest.approx(23.04)
    for part in (lab, tiny):
        assert part["gflop_per_10_s"] > 0
        for dtype in ("float32", "bfloat16"):
            speed = part[dtype]["audio_hours_per_hour"]
            assert 0 < speed["low"] <= speed["median"] <= speed["high"]


def test_unknown_towers_are_refused():
    with pytest.raises(InputError, match="got 'x'"):
        embedding.EmbeddingSpeed(towers="x")
    with pytest.raises(InputError, match=r"between 0\.1 and 120"):
        embedding.EmbeddingSpeed(seconds=300)
