"""Ranking one's own clips: their names and systems stay, and several of each prompt may be kept."""

import csv
import json
from dataclasses import replace

import pytest

from music.clips import write_clip
from music.errors import InputError
from music.pool import Pool
from scaling.best_of_n import BestOfN, main
from tests.scaling.noise_pool import clip

NAMES = ("Take One.wav", "b/test.wav", "Übung.wav", "d.wav")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Return the options of a run on four clips by two systems."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for index, name in enumerate(NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        write_clip(folder / f"{name}.flac", clip(index, 8000, 1))
        (folder / f"{name}.flac").rename(folder / name)
        rows.append({"file_name": name, "text": "a slow piano", "system": "AB"[index % 2]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return BestOfN(
        generator=f"folder:{folder}",
        prompts="a slow piano",
        reward="tests.scaling.loudness_scorer:LoudnessScorer",
        n=4,
        seconds=0.5,
        keep=3,
        device="cpu",
        output=folder.parent / "run",
    )


@pytest.fixture(scope="module")
def run(config):
    main(config)
    return config.output


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_names_and_systems_stay_in_the_pool(run):
    pool = Pool(run / "pool")
    assert [(one.original, one.system) for one in pool] == list(zip(NAMES, "ABAB", strict=True))
    assert {one.text for one in pool} == {"a slow piano"}


def test_the_best_three_are_kept_by_rank_and_name(run):
    rows = rows_of(run / "best" / "metadata.jsonl")
    assert [row["rank"] for row in rows] == [1, 2, 3]
    rewards = [row["reward"] for row in rows]
    assert rewards == sorted(rewards, reverse=True)
    files = {"Take One.wav": "take-one", "b/test.wav": "xtest", "Übung.wav": "übung", "d.wav": "d"}
    for rank, row in enumerate(rows, start=1):
        end = f"-rank{rank:02d}-{row['candidate']:05d}-{files[row['original']]}.flac"
        assert row["file_name"].endswith(end)
        assert row["system"] in "AB"
    assert {path.name for path in (run / "best").glob("*.flac")} == {row["file_name"] for row in rows}


def test_the_table_and_the_report_name_them(run):
    lines = list(csv.DictReader((run / "ranking.csv").read_text().splitlines()))
    assert [line["rank"] for line in lines] == ["1", "2", "3", "4"]
    assert {(line["original"], line["system"]) for line in lines} == set(zip(NAMES, "ABAB", strict=True))
    assert lines[0]["original"] == rows_of(run / "best" / "metadata.jsonl")[0]["original"]
    report = (run / "report.html").read_text()
    assert lines[0]["original"] in report
    assert "Systems chosen" in report


def test_one_prompt_has_no_interval(run, config, capsys):
    main(config)
    assert "best of 4 for 1 prompt: gain in reward +" in (said := capsys.readouterr().out)
    assert "(no interval of fewer than 10 prompts)" in said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["gain"]["reward"]["ci95"] is None
    assert summary["by_n"]["2"]["musicality"]["ci95"] is None


def test_other_numbers_to_keep_replace_the_clips_of_the_last(run, config, tmp_path):
    for keep, killed in ((1, False), (2, True), (4, False)):
        if killed:
            (run / "best" / "metadata.jsonl").unlink()
        main(replace(config, keep=keep))
        rows = rows_of(run / "best" / "metadata.jsonl")
        assert len(rows) == keep
        assert ("rank" in rows[0]) == (keep > 1)
        assert {path.name for path in (run / "best").glob("*.flac")} == {row["file_name"] for row in rows}
    again = replace(config, generator=f"folder:{run / 'best'}", keep=1, n=2, output=tmp_path / "again")
    main(again)  # the first names outlive another ranking
    assert [one.original for one in Pool(tmp_path / "again" / "pool")] == list(NAMES[:2])


def test_more_than_there_are_cannot_be_kept():
    with pytest.raises(InputError, match="--keep must be at most --n, got 3 of 2"):
        BestOfN(n=2, keep=3)
