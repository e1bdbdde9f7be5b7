"""The benchmark of embeddings counts and measures what it says."""

import json

import pytest

from experiments.benchmarks.embedding import EmbeddingSpeed, main
from music.errors import InputError


def test_both_kinds_of_towers_are_measured(capsys):
    main(EmbeddingSpeed(towers="lab-mulan,muq-mulan-tiny", clips=2, seconds=1.0, turns=2, matmul=64))
    found = json.loads(capsys.readouterr().out)
    lab, tiny = found["lab-mulan"], found["muq-mulan-tiny"]
    # 25 frames a second of 128 and of 64 channels
    assert lab["gigabytes_per_1000_h"] == pytest.approx(
        {"float32": 46.08, "bfloat16": 23.04, "float16": 23.04}
    )
    assert tiny["gigabytes_per_1000_h"]["float32"] == pytest.approx(23.04)
    for part in (lab, tiny):
        assert part["gflop_per_10_s"] > 0
        for dtype in ("float32", "bfloat16"):
            low, middle, high = (
                part[dtype]["audio_hours_per_hour"][name] for name in ("low", "median", "high")
            )
            assert 0 < low <= middle <= high


def test_unknown_towers_are_refused():
    with pytest.raises(InputError, match="got 'x'"):
        EmbeddingSpeed(towers="x")
    with pytest.raises(InputError, match=r"between 0\.1 and 120"):
        EmbeddingSpeed(seconds=300)
