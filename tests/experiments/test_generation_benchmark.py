"""The benchmark of generation: what it counts is what is computed, and what it says follows from what it timed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks import stable_audio
from experiments.benchmarks.generation import GenerationSpeed, main
from experiments.benchmarks.generation_report import Timings, report
from experiments.benchmarks.machine_limits import DecodingWork, decoding_work
from experiments.benchmarks.random_models import (
    MUSICGENS,
    STABLE_AUDIOS,
    TEXT,
    random_musicgen,
    random_stable_audio,
)
from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.decoder_weights import DecoderWeights
from generators.musicgen.incremental_decoder import IncrementalDecoder
from music.errors import InputError
from music.prompts import Prompt


def test_all_ways_make_their_clips_and_the_report_is_whole(capsys: pytest.CaptureFixture[str]):
    sizes = {"candidates": 3, "seconds": 0.1, "turns": 2, "matmul": 64, "megabytes": 1}
    main(GenerationSpeed(generator="musicgen-tiny", **sizes))
    out, progress = capsys.readouterr()
    found = json.loads(out)
    for dtype in ("float32", "bfloat16"):
        part = found[dtype]
        assert part["clips_per_second"].keys() == {"ours", "batch", "loop"}
        for key in ("ours_over_batch", "ours_over_loop", "ours_over_loop_in_float32"):
            assert 0 < part[key]["low"] <= part[key]["median"] <= part[key]["high"]
        assert part["step"]["limit"] in ("arithmetic", "memory")
        assert min(part["machine"].values()) > 0
        for way, clips in (("ours", 3), ("batch", 3), ("loop", 2)):
            assert f"turn 2 of 2: {dtype} {way}: {clips} clips in" in progress
    assert found["options"]["generator"] == "musicgen-tiny"
    assert found["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("guidance", [1.0, 7.0])
def test_all_ways_of_stable_audio_make_their_clips(guidance: float, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("diffusers", reason="needs the extra diffusers")
    stable_audio.main(
        stable_audio.StableAudioSpeed(
            size="stable-audio-tiny", seconds=0.5, guidance=guidance, matmul=64, turns=2
        )
    )
    out, progress = capsys.readouterr()
    found = json.loads(out)
    assert found["clips_per_second"].keys() == {"ours", "batch", "loop"}
    for key in ("ours_over_batch", "ours_over_loop"):
        assert 0 < found[key]["low"] <= found[key]["high"]
    assert 0 < found["step"]["reached"]["median"] < 1
    for way, clips in (("ours", 2), ("batch", 2), ("loop", 1)):
        assert f"turn 2 of 2: float32 {way}: {clips} clips in" in progress


@pytest.mark.parametrize("guided", [False, True])
def test_the_arithmetic_of_stable_audio_is_that_of_its_transformer(guided: bool):
    pytest.importorskip("diffusers", reason="needs the extra diffusers")
    tiny = STABLE_AUDIOS["stable-audio-tiny"]
    parts, shallow = random_stable_audio(replace(tiny, layers=2)), random_stable_audio(tiny)
    one, two = (stable_audio.step_flop(each, guided) for each in (parts, shallow))
    block = parts.transformer.transformer_blocks[0]
    own = (block.attn1.to_q, block.attn1.to_k, block.attn1.to_v, block.attn1.to_out[0])
    rows = (2 if guided else 1) * 65
    products = sum(layer.weight.numel() for layer in (*own, block.attn2.to_q, block.attn2.to_out[0]))
    products += block.ff.net[0].proj.weight.numel() + block.ff.net[2].weight.numel()
    assert one - two > 2 * rows * products  # and attention, keys and values of the text
    assert one - two < 4 * rows * products


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_arithmetic_that_is_counted_is_what_is_computed(guidance: float):
    model, tokenizer = random_musicgen(MUSICGENS["musicgen-tiny"])
    prompt = Prompt("p", TEXT)
    texts = TextConditioner(model, tokenizer)
    length = texts.padded_length(prompt)
    plain = DecoderWeights(model.decoder, 1, guided=False)  # laid out for other batches: ordinary products
    decoder = IncrementalDecoder(model.decoder, texts.batch([prompt] * 2, length), 1, guidance, plain)
    with FlopCounterMode(display=False) as counter:
        decoder.step(torch.full((2, 4), 64))
    counted = counter.get_flop_counts()["Global"]
    products = sum(count for op, count in counted.items() if "attention" not in str(op))
    work = decoding_work(model.decoder, clips=2, guided=guidance > 1, text=length, steps=1)
    attended = 4 * 32 * (2 * (2 if guidance > 1 else 1) + 2 * length)  # keys and values, in two layers
    assert work.flop - 2 * attended == products


def test_limits_and_ratios_follow_from_the_times():
    times = Timings(
        {"ours": [0.5, 1.0], "batch": [1.0, 1.0], "loop": [2.0, 3.0]},
        [1.0, 2.0],
        [100.0, 100.0],
        [10.0, 30.0],
    )
    slow = Timings({"ours": [1.0, 1.0], "batch": [4.0, 4.0], "loop": [8.0, 8.0]}, [0.0, 0.0], [10.0], [20.0])
    works = {"float32": DecodingWork(flop=20.0, bytes=2.0), "bfloat16": DecodingWork(flop=1.0, bytes=4.0)}
    found = report({"float32": times, "bfloat16": slow}, works, clips=10, steps=10)
    exact, half = found["float32"], found["bfloat16"]
    assert exact["clips_per_second"]["ours"] == {"median": 1.5, "low": 1.0, "high": 2.0}
    assert exact["ours_over_loop"] == {"median": 3.5, "low": 3.0, "high": 4.0}
    assert exact["ours_over_batch"] == {"median": 1.5, "low": 1.0, "high": 2.0}
    assert half["ours_over_loop_in_float32"] == {"median": 2.5, "low": 2.0, "high": 3.0}
    assert exact["step"]["limit"] == "arithmetic"  # 0.2 s against 0.1 s
    assert exact["step"]["milliseconds"] == {"median": 600.0, "low": 400.0, "high": 800.0}
    assert exact["step"]["reached"] == {"median": 0.375, "low": 0.25, "high": 0.5}
    assert half["step"]["limit"] == "memory"  # 0.2 s against 0.1 s
    assert half["step"]["reached"]["median"] == 0.2
    (note,) = found["notes"]
    assert "bfloat16 run at 0.1 times the rate of float32" in note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turns": 0}, "--turns must be at least 1"),
        ({"candidates": 1}, "--loop_candidates must be at most --candidates"),
        ({"dtypes": "float32,float16"}, "must be one of float32, bfloat16, got 'float16'"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        GenerationSpeed(**options)


def test_the_memory_of_a_run_is_told_beside_the_plan():
    """In a process of its own: in one that has had memory before, a run takes less than it needs."""
    words = ["memory", "--generator", "musicgen-tiny", "--candidates", "2", "--seconds", "0.1"]
    told = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks", *words],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent.parent,
    ).stdout  # fmt: skip
    found = json.loads(told)
    assert found["planned"] > found["planned_weights"] > 0
    assert found["taken"] > 0
