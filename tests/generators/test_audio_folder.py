"""A folder of audio from any system as a generator, and the pools that come of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from generators import fill_pool, load_generator
from generators.protocol import Job
from music.clips import Clip, read_clip, write_clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from scaling.best_of_n import BestOfN
from scaling.best_of_n import main as best_of_n
from tests.music.folder_state import contents

ALONE = Processes({})
RATE = 8_000
JAZZ, ROCK = Prompt("jazz", "slow jazz"), Prompt("rock", "fast rock", "la la")


def write_audio(path: Path, number: int, seconds: float = 1.0, channels: int = 1, rate: int = RATE) -> None:
    """Write 24-bit noise that depends on `number`."""
    noise = torch.rand(channels, round(seconds * rate), generator=torch.Generator().manual_seed(number)) - 0.5
    write_clip(path, Clip(noise, rate))


def write_list(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Return a folder with three clips of each of two prompts, listed out of order."""
    folder = tmp_path / "clips"
    rows: list[dict[str, Any]] = []
    for number, (prompt, index) in enumerate(
        (prompt, index) for index in (2, 0, 1) for prompt in (JAZZ, ROCK)
    ):
        name = f"{prompt.id}/take {index}.flac"
        write_audio(folder / name, number, seconds=1 + index / 10)
        row = {"file_name": name, "prompt_id": prompt.id, "candidate": index, "seed": 7, "system": "band"}
        rows.append(row)
    write_list(folder, *rows)
    return folder


def load(folder: Path):
    return load_generator(f"folder:{folder}")


def make(generator, jobs: list[Job], seconds: float = 0.7) -> dict[tuple[str, int], Clip]:
    return {(s.job.prompt.id, s.job.candidate): s.clip for s in generator.generate(jobs, seconds)}


def jobs_of(*prompts: Prompt, n: int = 3) -> list[Job]:
    return [Job(prompt, index, 1000 + index) for prompt in prompts for index in range(n)]


def test_candidates_are_the_listed_files_in_the_order_of_their_index(clips: Path):
    generator = load(clips)
    assert (generator.sample_rate, generator.channels, generator.max_seconds) == (RATE, 1, 1.2)
    assert generator.accepts == {"text", "lyrics", "reference"}
    made = make(generator, jobs_of(JAZZ, ROCK))
    assert len(made) == 6
    for (identity, index), clip in made.items():
        assert clip.samples == 5_600
        whole = read_clip(clips / identity / f"take {index}.flac")
        assert torch.equal(clip.waveform, whole.waveform[:, :5_600])


def test_a_clip_does_not_depend_on_its_neighbours_the_seed_or_the_backend_option(clips: Path):
    together = make(load(clips), jobs_of(JAZZ, ROCK))
    again = load_generator(clips, backend="folder")
    for job in reversed(jobs_of(ROCK, JAZZ)):
        ((key, clip),) = make(again, [replace(job, seed=5)]).items()
        assert torch.equal(clip.waveform, together[key].waveform)


@pytest.mark.parametrize("seconds", [0.01, 0.33337, 1.0])
def test_length_is_exact_and_stereo_stays_stereo(tmp_path: Path, seconds: float):
    write_audio(tmp_path / "a.flac", 1, channels=2, rate=11_025)
    write_list(tmp_path, {"file_name": "a.flac", "prompt_id": "jazz"})
    (sample,) = load(tmp_path).generate([Job(JAZZ, 0, 1)], seconds)
    assert sample.clip.waveform.shape == (2, round(seconds * 11_025))
    assert sample.tokens is None


def test_a_csv_matches_by_text_and_keeps_its_order(tmp_path: Path):
    for number, name in enumerate("ab"):
        write_audio(tmp_path / f"{name}.wav", number)
    (tmp_path / "metadata.csv").write_text("file_name,text,seed\nb.wav,slow jazz,1\na.wav,slow jazz,2\n")
    made = make(load(tmp_path), jobs_of(JAZZ, n=2))
    assert torch.equal(made["jazz", 0].waveform, read_clip(tmp_path / "b.wav", 0.7).waveform)
    assert torch.equal(made["jazz", 1].waveform, read_clip(tmp_path / "a.wav", 0.7).waveform)
    other = make(load(tmp_path), jobs_of(Prompt("another id", "slow jazz"), n=1))
    assert torch.equal(other["another id", 0].waveform, made["jazz", 0].waveform)


def test_a_pool_is_filled_extended_and_resumed(clips: Path, tmp_path: Path):
    prompts = [JAZZ, ROCK]
    pool = Pool(tmp_path / "pool", create=True)
    assert fill_pool(load(clips), prompts, 2, 0.7, pool, 1, ALONE) == 4
    assert fill_pool(load(clips), prompts, 3, 0.7, pool, 1, ALONE) == 2
    at_once = Pool(tmp_path / "at once", create=True)
    assert fill_pool(load(clips), prompts, 3, 0.7, at_once, 1, ALONE) == 6
    assert contents(tmp_path / "pool") == contents(tmp_path / "at once")
    for candidate in pool:
        listed = read_clip(clips / candidate.prompt_id / f"take {candidate.candidate}.flac", 0.7)
        assert torch.equal(pool.clip(candidate).waveform, listed.waveform)
        assert candidate.tokens == ""
    spec = pool.spec(pool.candidates[0])
    assert (spec["backend"], spec["systems"], spec["seconds"]) == ("folder", ["band"], 0.7)


def test_another_content_is_another_spec_and_another_place_or_note_is_not(clips: Path, tmp_path: Path):
    before = load(clips).spec
    pool = Pool(tmp_path / "pool", create=True)
    fill_pool(load(clips), [JAZZ], 1, 0.7, pool, 1, ALONE)
    (clips / "notes.txt").write_text("recorded in May")
    moved = clips.rename(tmp_path / "moved")
    assert load(moved).spec == before
    write_audio(moved / "rock" / "take 0.flac", 99)
    assert load(moved).spec["content"] != before["content"]
    with pytest.raises(InputError, match="made with another spec"):
        fill_pool(load(moved), [JAZZ], 1, 0.7, pool, 1, ALONE)
    rows = [json.loads(line) for line in (moved / "metadata.jsonl").read_text().splitlines()]
    changed = load(moved).spec["content"]
    write_list(moved, *[{**row, "candidate": row["candidate"] + 1} for row in rows])
    assert load(moved).spec["content"] != changed


def test_a_pool_is_such_a_folder_itself(clips: Path, tmp_path: Path):
    pool = Pool(tmp_path / "pool", create=True)
    fill_pool(load(clips), [JAZZ, ROCK], 3, 0.7, pool, 1, ALONE)
    made = make(load(tmp_path / "pool"), jobs_of(JAZZ, ROCK), 0.5)
    for candidate in pool:
        expected = pool.clip(candidate).first(0.5).waveform
        assert torch.equal(made[candidate.key].waveform, expected)


@pytest.mark.parametrize(
    ("prompts", "n", "seconds", "message"),
    [
        ([ROCK, JAZZ], 4, 0.5, "lists 3 clips of prompt 'rock', too few for candidate 3 .*a lower --n"),
        ([Prompt("x", "y")], 1, 0.5, "lists 0 clips of prompt 'x'"),
        ([JAZZ], 3, 1.1, r"line 3: .*jazz/take 0\.flac is too short: 1 s, --seconds asks for 1\.1"),
        ([JAZZ], 3, 1.3, r"--seconds must be at most 1\.2"),
        ([Prompt("jazz", "fast jazz")], 1, 0.5, "prompt 'jazz' has another text"),
    ],
)
def test_what_the_folder_cannot_give_is_refused_before_the_pool_is_touched(
    clips: Path, tmp_path: Path, prompts: list[Prompt], n: int, seconds: float, message: str
):
    rows = [json.loads(line) for line in (clips / "metadata.jsonl").read_text().splitlines()]
    texts = {"jazz": JAZZ.text, "rock": ""}
    write_list(clips, *[{**row, "text": texts[row["prompt_id"]]} for row in rows])
    with pytest.raises(InputError, match=message) as caught:
        fill_pool(load(clips), prompts, n, seconds, Pool(tmp_path / "pool", create=True), 1, ALONE)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "pool").exists()


GOOD = {"file_name": "a.flac", "prompt_id": "jazz", "candidate": 0}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt_id": "jazz"}, "field 'file_name' is missing"),
        ({"file_name": "b.flac"}, "neither field 'prompt_id' nor 'text'"),
        ({"file_name": "b.flac", "prompt_id": 3}, "field 'prompt_id' must be a text, got 3"),
        (
            {"file_name": "b.flac", "text": "t", "candidate": "one"},
            "field 'candidate' must be a whole number",
        ),
        ({"file_name": "b.flac", "text": "t", "candidate": -1}, "field 'candidate' must be a whole number"),
        ({**GOOD, "candidate": 1}, r"file 'a\.flac' of the prompt comes twice, first in .*line 1"),
        ({**GOOD, "file_name": "b.flac"}, "candidate 0 of the prompt comes twice, first in .*line 1"),
        ({"file_name": "b.flac", "prompt_id": "jazz"}, "field 'candidate' is missing, though other clips"),
        ({"file_name": "gone.flac", "text": "t"}, r"audio file .*gone\.flac does not exist"),
        ({"file_name": "text.wav", "text": "t"}, r"text\.wav cannot be read"),
        ({"file_name": "fast.flac", "text": "t"}, r"fast\.flac has 16000 Hz, 1 channel, a\.flac has 8000 Hz"),
        ({"file_name": "wide.flac", "text": "t"}, r"wide\.flac has 8000 Hz, 2 channels, a\.flac has 8000 Hz"),
    ],
)
def test_a_bad_row_names_file_line_and_field(tmp_path: Path, row: dict[str, Any], message: str):
    write_audio(tmp_path / "a.flac", 1)
    write_audio(tmp_path / "b.flac", 2)
    write_audio(tmp_path / "fast.flac", 3, rate=16_000)
    write_audio(tmp_path / "wide.flac", 4, channels=2)
    (tmp_path / "text.wav").write_text("not audio")
    write_list(tmp_path, GOOD, row)
    with pytest.raises(InputError, match=message) as caught:
        make(load(tmp_path), jobs_of(JAZZ, n=1))
    assert "metadata.jsonl line 2" in str(caught.value)


def test_a_folder_that_is_none_or_has_no_list_or_two(tmp_path: Path):
    with pytest.raises(InputError, match="gone is not a folder"):
        load(tmp_path / "gone")
    with pytest.raises(InputError, match=r"has neither metadata\.jsonl nor metadata\.csv"):
        load(tmp_path)
    write_list(tmp_path)
    with pytest.raises(InputError, match=r"metadata\.jsonl lists no clip"):
        load(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    with pytest.raises(InputError, match=r"has both metadata\.jsonl and metadata\.csv"):
        load(tmp_path)
    with pytest.raises(InputError, match="backend folder has no option 'guidance': it takes none"):
        load_generator(f"folder:{tmp_path}", guidance=2.0)


def test_damaged_and_loud_clips(tmp_path: Path):
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", np.full(RATE, 2.0, dtype=np.float32), RATE, subtype="FLOAT")
    rows = [{"file_name": f"{name}.wav", "text": name} for name in ("loud", "nan")]
    write_list(tmp_path, *rows)
    pool = Pool(tmp_path / "pool", create=True)
    prompts = [Prompt("l", "loud"), Prompt("n", "nan")]
    with pytest.raises(InputError, match=r"nan\.wav holds NaN"):
        fill_pool(load(tmp_path), prompts, 1, 0.5, pool, 1, ALONE)
    pool = Pool(tmp_path / "pool")
    assert [(candidate.prompt_id, candidate.gain) for candidate in pool] == [
        ("l", 0.5)
    ]  # finished work stays


def test_the_main_job_chooses_among_the_clips_of_a_folder(clips: Path, tmp_path: Path):
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": prompt.id, "text": prompt.text, "lyrics": prompt.lyrics} for prompt in (JAZZ, ROCK)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = BestOfN(
        generator=f"folder:{clips}",
        reward="tests.scaling.loudness_scorer:LoudnessScorer",
        prompts=str(prompts),
        n=3,
        seconds=0.7,
        output=tmp_path / "run",
        device="cpu",
    )
    best_of_n(config)
    best = [
        json.loads(line) for line in (tmp_path / "run" / "best" / "metadata.jsonl").read_text().splitlines()
    ]
    assert [row["prompt_id"] for row in best] == ["jazz", "rock"]
    # the chosen clips are a folder again: judge them once more
    best_of_n(
        replace(config, generator=f"folder:{tmp_path / 'run' / 'best'}", n=1, output=tmp_path / "again")
    )
    again = (tmp_path / "again" / "best" / "metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["reward"] for line in again] == [row["reward"] for row in best]
