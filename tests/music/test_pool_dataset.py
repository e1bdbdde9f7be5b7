"""A pool loads with the `datasets` library as an AudioFolder."""

import sys
import types

import pytest
import torch

from music.clips import Clip, read_clip, write_clip
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from music.scores import ScoreTable
from scaling.browsing.favourites import mark
from tests.docs.pages import ROOT, blocks

datasets = pytest.importorskip("datasets")


@pytest.fixture
def audio_folder_without_codec(monkeypatch):
    """`datasets` asks for torchcodec before it looks at paths, though nothing is decoded here."""
    encoders = types.ModuleType("torchcodec.encoders")
    encoders.AudioEncoder = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", types.ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", encoders)


def fill(folder, clip, prompts):
    spec = {"seconds": 0.1}
    pool = Pool(folder, create=True)
    with pool.writer("noise", spec) as writer:
        for prompt, index, seed in pool.missing(prompts, 2, 0, spec, Processes({})):
            writer.add(prompt, index, seed, clip, torch.zeros(3) if index else None)
    return pool


@pytest.mark.parametrize("merged", [True, False])
def test_rows_and_audio_load_without_a_codec_also_of_a_pool_that_was_killed(tmp_path, monkeypatch, merged):
    """The recipe of docs/concepts.md, in the environment as it is."""
    clip = Clip(torch.linspace(-0.5, 0.5, 800)[None], 8000)
    pool = fill(
        tmp_path / "pool", clip, [Prompt("test-1", "b", facts={"x": {"y": [1.5]}}), Prompt("dev", "d")]
    )
    pool.reload()
    if merged:
        pool.merge()
    (recipe,) = (
        block.text
        for block in blocks(ROOT / "docs" / "concepts.md")
        if "load_dataset" in block.text and block.language == "python"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    found: dict = {}
    exec(recipe.replace("runs/demo/pool", "pool"), found)
    rows = list(found["clips"])
    assert [(row["prompt_id"], row["candidate"]) for row in rows] == [one.key for one in pool] or not merged
    assert {(row["prompt_id"], row["candidate"]) for row in rows} == {one.key for one in pool}
    assert set(rows[0]) >= {"text", "seed", "facts", "sha256", "audio"}
    assert read_clip(rows[0]["audio"]["path"]).samples == 800


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
    pool = fill(tmp_path / "pool", clip, prompts)
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
