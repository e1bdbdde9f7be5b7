"""The benchmark of scoring measures both ways on the same clips, and they agree."""

import json

import pytest

from experiments.benchmarks.scoring import ScoringSpeed, main
from music.errors import InputError

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


def test_unknown_names_and_impossible_lengths_are_refused():
    with pytest.raises(InputError, match="--cases must be of text, lyrics, reference, got 'x'"):
        ScoringSpeed(cases="text,x")
    with pytest.raises(InputError, match="--reference_seconds must lie between"):
        ScoringSpeed(reference_seconds=31)
