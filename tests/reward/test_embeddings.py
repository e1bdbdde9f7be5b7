"""Cached tower outputs: exact, once, resumable, never half."""

import os

import pytest
import torch

from music.clips import write_clip
from music.errors import InputError
from reward.training.embeddings import EmbeddingStore, audio_keys, fill_store, text_key


@pytest.fixture
def sounds(tmp_path, noise):
    paths = []
    for index in range(4):
        paths.append(tmp_path / "audio" / f"{index}.flac")
        write_clip(paths[-1], noise(20_000 + 3000 * index, seed=index % 3 if index < 3 else 0))
    (tmp_path / "audio" / "copy.flac").write_bytes(paths[0].read_bytes())
    return [*paths, tmp_path / "audio" / "copy.flac"]


@pytest.mark.parametrize("in_memory", [False, True])
def test_frames_are_those_of_the_towers(tmp_path, towers, sounds, in_memory):
    from music.clips import read_clip

    keys = audio_keys(sounds)
    fill_store(EmbeddingStore(tmp_path / "e", towers.hash), towers, keys, ["pop", ""])
    store = EmbeddingStore(tmp_path / "e", towers.hash, in_memory=in_memory)
    for path in sounds:
        assert torch.equal(store.get(keys[path]), towers.encode_audio(read_clip(path)))
    assert torch.equal(store.get(text_key("")), towers.encode_text(""))
    assert len(store) == 4 + 2  # the copy has the content of the first


def test_what_is_there_is_not_encoded_again(tmp_path, towers, sounds, monkeypatch):
    store = EmbeddingStore(tmp_path / "e", towers.hash)
    assert fill_store(store, towers, audio_keys(sounds[:2]), ["pop"]) == 3
    assert (
        fill_store(EmbeddingStore(tmp_path / "e", towers.hash), towers, audio_keys(sounds), ["pop", "rock"])
        == 3
    )
    monkeypatch.setattr(towers, "encode_audios", None)
    again = EmbeddingStore(tmp_path / "e", towers.hash)
    assert fill_store(again, towers, audio_keys(sounds), ["rock", "pop"]) == 0


def test_a_kill_keeps_what_was_written_and_shows_nothing_half(tmp_path, towers, sounds, monkeypatch):
    monkeypatch.setattr("reward.training.embeddings._FLUSH_BYTES", 1)  # a file an item
    encode, count = towers.encode_audios, []

    def die_at_third(clips):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        return encode(clips)

    monkeypatch.setattr(towers, "encode_audios", die_at_third)
    with pytest.raises(KeyboardInterrupt):
        fill_store(EmbeddingStore(tmp_path / "e", towers.hash), towers, audio_keys(sounds), [])
    monkeypatch.setattr(towers, "encode_audios", encode)
    folder = EmbeddingStore(tmp_path / "e", towers.hash).folder
    left, in_flight = folder / ".tmp-7-audio-x.safetensors", folder / ".tmp-8-audio-x.safetensors"
    for path in (left, in_flight):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    store = EmbeddingStore(tmp_path / "e", towers.hash)
    assert len(store) == 2
    assert fill_store(store, towers, audio_keys(sounds), []) == 2
    assert list(store.folder.glob(".tmp*")) == [in_flight]  # of another run, which is writing it


@pytest.mark.parametrize(("dtype", "error"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_half_precision_is_half_the_size_and_near(tmp_path, towers, sounds, dtype, error):
    keys = audio_keys(sounds)
    half, whole = (EmbeddingStore(tmp_path / "e", towers.hash, name) for name in (dtype, "float32"))
    for store in (half, whole):
        fill_store(store, towers, keys, [])
    key = keys[sounds[0]]
    torch.testing.assert_close(half.get(key).float(), whole.get(key), rtol=error, atol=1e-3)
    assert half.get(key).nbytes == whole.get(key).nbytes / 2
    with pytest.raises(InputError, match="int8"):
        EmbeddingStore(tmp_path / "e", towers.hash, "int8")


def test_other_towers_have_a_store_of_their_own(tmp_path, towers, sounds):
    fill_store(EmbeddingStore(tmp_path / "e", towers.hash), towers, audio_keys(sounds), [])
    assert len(EmbeddingStore(tmp_path / "e", "another hash")) == 0


def test_damaged_files_and_bad_audio_are_named(tmp_path, towers, sounds, noise):
    store = EmbeddingStore(tmp_path / "e", towers.hash)
    write_clip(tmp_path / "short.flac", noise(500))
    with pytest.raises(InputError, match=r"short\.flac: audio of .* is too short"):
        fill_store(store, towers, audio_keys([tmp_path / "short.flac"]), [])
    fill_store(store, towers, audio_keys(sounds), [])
    path = next(store.folder.glob("audio-*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"audio-.*is damaged"):
        EmbeddingStore(tmp_path / "e", towers.hash)
