"""A pool loads with the `datasets` library as an AudioFolder."""

import sys
import types

import pytest
import torch

from music.clips import Clip, write_clip
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from music.scores import ScoreTable
from scaling.browsing.favourites import mark

datasets = pytest.importorskip("datasets")


@pytest.fixture
def audio_folder_without_codec(monkeypatch):
    """`datasets` asks for torchcodec before it looks at paths, though nothing is decoded here."""
    encoders = types.ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)


def test_audiofolder_loads_every_row(tmp_path, audio_folder_without_codec, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    clip = Clip(torch.zeros(1, 800), 8000)
    write_clip(tmp_path / "ref.flac", clip)
    prompts = [
        Prompt("2024-01-01", "a", facts={"x": 1}),
        Prompt("test-1", "b", reference=tmp_path / "ref.flac", facts={"x": {"y": [1.5]}, "z": None}),
        Prompt("train/validation", "c", "la", facts={"x": "text"}),
        Prompt("dev", "d"),
    ]
    spec = {"seconds": 0.1}
    pool = Pool(tmp_path / "pool", create=True)
    with pool.writer("noise", spec) as writer:
        for prompt, index, seed in pool.missing(prompts, 2, 0, spec, Processes({})):
            writer.add(prompt, index, seed, clip, torch.zeros(3) if index else None)
    pool.merge()
    with ScoreTable(pool.folder, "gold", "1", ["a"]) as table:
        for candidate in pool:
            table.append(candidate, {"a": 0.5})
    mark(pool.folder, pool.candidates[0], True)
    loaded = datasets.load_dataset(
        "audiofolder", data_dir=str(pool.folder), cache_dir=str(tmp_path / "cache")
    )
    assert list(loaded) == ["train"]
    rows = list(loaded["train"].cast_column("audio", datasets.Audio(decode=False)))
    assert [(row["prompt_id"], row["candidate"]) for row in rows] == [found.key for found in pool]
    for row, candidate in zip(rows, pool, strict=True):
        assert row["audio"]["path"] == str(pool.path(candidate))
        assert (row["facts"], row["seed"], row["reference"]) == (
            candidate.facts,
            candidate.seed,
            candidate.reference,
        )
