"""The pool: what goes in comes out, what is there is reused, what does not fit is refused."""

import json
import os
import shutil

import pytest
import torch

from music.clips import Clip, read_clip, write_clip
from music.errors import InputError
from music.hashing import candidate_seed, sha256_file
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from tests.music.folder_state import contents

SPEC = {"weights": "noise", "seconds": 0.25, "guidance": 3.0}
ALONE = Processes({})


def noise(seed):
    return Clip(torch.rand(2, 2000, generator=torch.Generator().manual_seed(seed)) - 0.5, 8000)


def fill(folder, prompts, n, seed=0, spec=SPEC, clip=noise, merge=True):
    """Make what is missing; return (pool, how many were made)."""
    pool = Pool(folder, create=True)
    jobs = pool.missing(prompts, n, seed, spec, ALONE)
    with pool.writer("noise", spec) as writer:
        for prompt, index, job_seed in jobs:
            writer.add(prompt, index, job_seed, clip(job_seed), torch.arange(index + 3))
    if merge:
        pool.merge()
    return pool, len(jobs)


@pytest.fixture
def prompts(tmp_path):
    write_clip(tmp_path / "ref.flac", noise(5))
    return [
        Prompt("b/..", "second", lyrics="la", facts={"bpm": 90}),
        Prompt("a", "first", reference=tmp_path / "ref.flac", facts={"bpm": {"nested": [1]}}),
        Prompt("Ü 🎵", "third"),
    ]


def test_a_candidate_comes_back_as_it_went_in(tmp_path, prompts):
    pool, made = fill(tmp_path / "pool", prompts, 2)
    assert made == len(pool) == 6
    assert [found.key for found in pool] == sorted(
        (prompt.id, index) for prompt in prompts for index in range(2)
    )
    found = pool.candidates_of(prompts[1:2], 2)[0][1]
    assert found.seed == candidate_seed(0, "a", 1)
    assert (found.seconds, found.sample_rate, found.gain, found.generator) == (0.25, 8000, 1.0, "noise")
    torch.testing.assert_close(pool.clip(found).waveform, noise(found.seed).waveform, atol=2**-23, rtol=0)
    assert pool.tokens(found).tolist() == [0, 1, 2, 3]
    assert pool.spec(found) == SPEC
    prompt = pool.prompt(found)
    assert (prompt.id, prompt.text, prompt.facts) == ("a", "first", prompts[1].facts)
    assert prompt.reference is not None
    assert prompt.reference.is_relative_to(tmp_path / "pool")
    assert prompt.reference.read_bytes() == (tmp_path / "ref.flac").read_bytes()
    pool.verify()


def test_rows_have_the_documented_columns(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    row = json.loads((tmp_path / "pool" / "metadata.jsonl").read_text().splitlines()[0])
    columns = (
        "file_name prompt_id candidate seed text lyrics reference facts generator spec seconds sample_rate"
    )
    assert list(row) == [*columns.split(), "gain", "sha256", "tokens", "tokens_sha256"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "text", "missing"])
@pytest.mark.parametrize("hashed", [True, False])
def test_tokens_that_were_changed_are_named(tmp_path, prompts, damage, hashed):
    """A pool of an earlier version has no hash of tokens: it is taken up, and what is not whole is found."""
    folder = tmp_path / "pool"
    fill(folder, prompts, 2)
    if not hashed:
        table = folder / "metadata.jsonl"
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        for row in rows:
            del row["tokens_sha256"]
        table.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        before = table.read_bytes()
        Pool(folder).merge()
        assert table.read_bytes() == before
    pool = Pool(folder)
    first, other = pool.candidates_of(prompts[:1], 2)[0]
    assert pool.tokens(other).tolist() == [0, 1, 2, 3]
    path = folder / first.tokens
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        changed = {"cut": data[:-5], "flipped": data[:-1] + b"\1", "text": b"no tokens at all"}
        path.write_bytes(changed.get(damage) or (folder / other.tokens).read_bytes())
    if not hashed and damage in ("flipped", "other"):
        pool.tokens(first)
        return
    with pytest.raises(
        InputError, match=r"metadata\.jsonl line 3: .*delete that row to have it made"
    ) as caught:
        pool.tokens(first)
    assert str(path) in str(caught.value)


def test_a_second_run_makes_nothing_and_changes_nothing(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 2)
    before = contents(tmp_path / "pool")
    assert fill(tmp_path / "pool", prompts, 2)[1] == 0
    assert contents(tmp_path / "pool") == before


def test_more_candidates_and_prompts_reuse_what_is_there(tmp_path, prompts):
    fill(tmp_path / "grown", prompts[:1], 1)
    audio = {name: data for name, data in contents(tmp_path / "grown").items() if name.startswith("audio")}
    assert fill(tmp_path / "grown", prompts[:2], 3)[1] == 5
    assert fill(tmp_path / "grown", prompts, 2)[1] == 2
    assert fill(tmp_path / "grown", prompts, 3)[1] == 1
    grown = contents(tmp_path / "grown")
    assert audio.items() <= grown.items()
    fill(tmp_path / "whole", prompts, 3)
    assert grown == contents(tmp_path / "whole")


def test_a_pool_can_be_moved(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    (tmp_path / "ref.flac").unlink()
    shutil.move(tmp_path / "pool", tmp_path / "elsewhere")
    pool = Pool(tmp_path / "elsewhere")
    pool.verify()
    found = pool.candidates_of([prompts[1]], 1)[0][0]
    reference = pool.prompt(found).reference
    assert reference is not None
    assert read_clip(reference).samples == 2000


def refuse(folder, message, prompts, **changed):
    before = contents(folder)
    with pytest.raises(InputError, match=message) as caught:
        fill(folder, prompts, 2, **changed)
    assert "metadata.jsonl line" in str(caught.value)
    assert "--output" in str(caught.value)
    assert contents(folder) == before


def test_another_spec_or_seed_is_refused(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    refuse(tmp_path / "pool", r"guidance was 3\.0, is 1\.0", prompts, spec={**SPEC, "guidance": 1.0})
    refuse(tmp_path / "pool", "steps was None, is 8", prompts, spec={**SPEC, "steps": 8})
    refuse(tmp_path / "pool", "another --seed than 1", prompts, seed=1)


def test_another_prompt_under_a_known_id_is_refused(tmp_path, prompts):
    write_clip(tmp_path / "other.flac", noise(6))
    fill(tmp_path / "pool", prompts, 1)
    for column, changed in [
        ("text", Prompt("a", "other", reference=prompts[1].reference, facts=prompts[1].facts)),
        ("lyrics", Prompt("a", "first", "oh", prompts[1].reference, prompts[1].facts)),
        ("reference", Prompt("a", "first", "", tmp_path / "other.flac", prompts[1].facts)),
        ("reference", Prompt("a", "first", "", None, prompts[1].facts)),
        ("facts", Prompt("a", "first", "", prompts[1].reference)),
    ]:
        refuse(tmp_path / "pool", f"prompt 'a' had another {column}", [changed])
    (tmp_path / "ref.flac").write_bytes((tmp_path / "other.flac").read_bytes())  # same name, other clip
    refuse(tmp_path / "pool", "prompt 'a' had another reference", prompts)


@pytest.mark.parametrize("column", ["file_name", "tokens", "reference"])
def test_a_row_whose_file_is_missing_or_empty_is_named(tmp_path, prompts, column):
    fill(tmp_path / "pool", prompts, 2)
    lines = (tmp_path / "pool" / "metadata.jsonl").read_text().splitlines()
    number = next(index for index, line in enumerate(lines, 1) if json.loads(line)[column])
    file = tmp_path / "pool" / json.loads(lines[number - 1])[column]
    data = file.read_bytes()
    file.write_bytes(b"")
    with pytest.raises(InputError, match=rf"metadata\.jsonl line {number}: its file .*{file.name} is empty"):
        Pool(tmp_path / "pool")
    file.unlink()
    with pytest.raises(
        InputError, match=rf"metadata\.jsonl line {number}: its file .*{file.name} is missing"
    ):
        fill(tmp_path / "pool", prompts, 2)
    file.write_bytes(data)
    Pool(tmp_path / "pool").verify()


def test_after_deleting_its_row_a_lost_clip_is_made_again(tmp_path, prompts):
    pool, _ = fill(tmp_path / "pool", prompts, 2)
    before = contents(tmp_path / "pool")
    pool.path(pool.candidates[3]).unlink()
    metadata = tmp_path / "pool" / "metadata.jsonl"
    lines = metadata.read_text().splitlines(keepends=True)
    metadata.write_text("".join(lines[:3] + lines[4:]))
    assert fill(tmp_path / "pool", prompts, 2)[1] == 1
    assert contents(tmp_path / "pool") == before


def test_changed_audio_is_named(tmp_path, prompts):
    pool, _ = fill(tmp_path / "pool", prompts, 2)
    victim = pool.candidates[2]
    write_clip(pool.path(victim), noise(99))
    for check in (pool.verify, lambda: pool.clip(victim)):
        with pytest.raises(InputError, match=r"metadata\.jsonl line 3: .*was changed") as caught:
            check()
        assert victim.file_name in str(caught.value)
    pool.verify([pool.candidates[0]])


def test_a_file_is_compared_once_until_it_changes(tmp_path, prompts, monkeypatch):
    """Even a change that leaves size and time of the content as they were is found."""
    pool, _ = fill(tmp_path / "pool", prompts, 1)
    victim = pool.candidates[0]
    path = pool.path(victim)
    os.utime(path, ns=(0, 10**18))  # long enough ago for the clock of any file system
    pool.verify([victim])
    read = []
    monkeypatch.setattr("music.pool.sha256_file", lambda path: read.append(path) or sha256_file(path))
    pool.verify([victim])
    assert read == []
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(0, 10**18))
    with pytest.raises(InputError, match="was changed"):
        pool.verify([victim])


def test_bad_rows_are_named(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    metadata = tmp_path / "pool" / "metadata.jsonl"
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    for changed, message in [
        ({key: value for key, value in rows[1].items() if key != "sha256"}, "column 'sha256' is missing"),
        ({**rows[1], "extra": 1}, "column 'extra' is unknown"),
        ({**rows[1], "candidate": "0"}, "column 'candidate' must be a int, got '0'"),
        ({**rows[0], "seed": 1}, r"contradicts .*metadata\.jsonl line 1 on candidate 0"),
    ]:
        metadata.write_text("".join(json.dumps(row) + "\n" for row in [rows[0], changed, rows[2]]))
        with pytest.raises(InputError, match=message) as caught:
            Pool(tmp_path / "pool")
        assert "metadata.jsonl line 2" in str(caught.value)
    for facts in ("[1]", "{", "[" * 100_000):
        metadata.write_text("".join(json.dumps(row | {"facts": facts}) + "\n" for row in rows))
        pool = Pool(tmp_path / "pool")
        with pytest.raises(
            InputError, match=r"metadata\.jsonl line 1: column 'facts' must be the JSON of an"
        ):
            pool.prompt(pool.candidates[0])


def test_what_is_no_pool_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is not a pool"):
        Pool(tmp_path / "nothing")
    (tmp_path / "run" / "pool").mkdir(parents=True)
    (tmp_path / "run" / "pool" / "metadata.jsonl").touch()
    with pytest.raises(InputError, match=r"run is not a pool: it has no metadata\.jsonl; .*run/pool is one$"):
        Pool(tmp_path / "run")
    assert len(Pool(tmp_path / "nothing", create=True)) == 0
    assert not (tmp_path / "nothing").exists()


def test_missing_candidates_are_named(tmp_path, prompts):
    pool, _ = fill(tmp_path / "pool", prompts[:1], 2)
    with pytest.raises(InputError, match=r"no candidate 2 of prompt 'b/\.\.'"):
        pool.candidates_of(prompts[:1], 3)


def test_unusable_samples_leave_the_pool_as_it_was(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    before = contents(tmp_path / "pool")
    for broken, message in [
        (Clip(torch.full((1, 4), float("nan")), 8000), "candidate 1 of prompt 'b/..' holds NaN"),
        (Clip(torch.zeros(1, 0), 8000), "zero length"),
    ]:
        with pytest.raises(InputError, match=message):
            fill(tmp_path / "pool", prompts, 2, clip=lambda seed, broken=broken: broken)
        assert contents(tmp_path / "pool") == before


def test_clips_at_another_rate_are_refused(tmp_path, prompts):
    rates = iter([8000, 16000])
    with pytest.raises(InputError, match="made at 16000 Hz, the clips before at 8000 Hz"):
        fill(tmp_path / "pool", prompts, 2, clip=lambda seed: Clip(torch.zeros(1, 100), next(rates)))
    assert len(Pool(tmp_path / "pool")) == 1


def test_a_loud_clip_is_scaled_and_the_gain_recorded(tmp_path, prompts):
    pool, _ = fill(tmp_path / "pool", prompts[:1], 1, clip=lambda seed: Clip(torch.full((1, 100), 4.0), 8000))
    assert pool.candidates[0].gain == 0.25
    assert pool.clip(pool.candidates[0]).waveform.max() == pytest.approx(1.0)


def test_a_merge_that_was_killed_before_it_removed_the_shard_counts_rows_once(tmp_path, prompts):
    folder = tmp_path / "pool"
    fill(folder, prompts, 2, merge=False)
    shard = (folder / "metadata-00000.jsonl").read_bytes()
    Pool(folder).merge()
    after = contents(folder)
    (folder / "metadata-00000.jsonl").write_bytes(shard)
    assert len(Pool(folder)) == 6
    Pool(folder).merge()
    assert contents(folder) == after


def test_a_pool_that_is_being_written_is_not_merged_from_under_the_writer(tmp_path, prompts):
    folder = tmp_path / "pool"
    pool = Pool(folder, create=True)
    jobs = pool.missing(prompts, 2, 0, SPEC, ALONE)
    with pool.writer("noise", SPEC) as writer:
        for prompt, index, seed in jobs[:3]:
            writer.add(prompt, index, seed, noise(seed))
        with pytest.raises(InputError, match="another process is writing"):
            Pool(folder).merge()
        for prompt, index, seed in jobs[3:]:
            writer.add(prompt, index, seed, noise(seed))
    pool.merge()
    assert len(pool) == 6


def test_leftovers_of_temporary_files_go(tmp_path, prompts):
    fill(tmp_path / "pool", prompts, 1)
    before = contents(tmp_path / "pool")
    audio = next((tmp_path / "pool" / "audio").iterdir())
    (audio / ".tmp-0-00000.flac").write_bytes(b"half")
    (tmp_path / "pool" / "specs" / ".tmp-7-x.json").write_bytes(b"half")
    fill(tmp_path / "pool", prompts, 1)
    assert contents(tmp_path / "pool") == before


def test_leftovers_of_a_writer_that_lives_stay(tmp_path, prompts):
    folder = tmp_path / "pool"
    pool, _ = fill(folder, prompts, 1)
    with pool.writer("noise", SPEC, rank=1) as writer:
        writer.add(prompts[0], 1, 5, noise(5))
        in_flight = folder / "specs" / ".tmp-1-x.json"
        in_flight.write_bytes(b"half")
        with pool.writer("noise", SPEC, rank=1) as twin, pytest.raises(InputError, match="another process"):
            twin.add(prompts[0], 2, 5, noise(5))
        with pytest.raises(InputError, match="another process is writing"):
            Pool(folder).merge()
        assert in_flight.exists()


def test_a_merge_clears_only_what_a_pool_holds(tmp_path, prompts):
    folder = tmp_path / "pool"
    fill(folder, prompts, 1)
    (folder / "notes").mkdir()
    (folder / "audio" / ".tmp-3-folder").mkdir()
    (folder / "notes" / ".tmp-0-mine").write_text("mine")
    (folder / "audio" / ".tmp-3-x.flac").write_text("half")
    fill(folder, prompts, 2)
    assert (folder / "notes" / ".tmp-0-mine").read_text() == "mine"
    assert (folder / "audio" / ".tmp-3-folder").is_dir()
    assert not (folder / "audio" / ".tmp-3-x.flac").exists()
    assert not list(folder.glob("metadata-*"))
