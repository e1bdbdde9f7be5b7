"""Published sets, in small folders of their real layouts, become rows; what cannot is counted by its reason."""

import csv
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

import reward.data.__main__
from music.clips import read_clip, read_header, write_clip
from music.errors import InputError
from reward.data import check, stats
from reward.data.prepare import Prepare, main
from reward.judgements import Preference, Rating, load_judgements, load_preferences
from tests.reward.training_runs import write_rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sounds(tmp_path, noise):
    """Return a maker of audio files below the folder of the test."""

    def make(*names, seconds=1.0):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_clip(path, noise(round(24_000 * seconds), seed=abs(hash(name)) % 1000))
        return tmp_path

    return make


def prepared(tmp_path, kind, source, **options):
    """Prepare a set and return its rows by id, its record and what was skipped, by reason."""
    output = tmp_path / "prepared"
    main(Prepare(kind, str(source), output, **options))
    rows = {row.id: row for row in load_judgements(output / "rows.jsonl")}
    skipped = [json.loads(line) for line in (output / "skipped.jsonl").read_text().splitlines()]
    return rows, json.loads((output / "run.json").read_text()), {one["reason"] for one in skipped}


BOTH_LAYOUTS = {
    "lyrics": "la la",
    "preference-musicality": "model_a",
    "preference-alignment": "model_b",
    "confidence_preference-musicality": "4.0",
    "confidence_preference-alignment": "",
    "model_a": "one",
    "model_b": "two",
}
BENCHMARK_LAYOUT = {
    "source": "cmi-arena-annotation",
    "split": "test",
    "audio-path": "wav/a.flac",
    "audio2": "wav/b.flac",
    "ref-audio-path": "",
    "prompt": "slow piano",
    **BOTH_LAYOUTS,
}
RELEASED_LAYOUT = {
    "audio-a": "wav/a.flac",
    "audio-b": "wav/b.flac",
    "text": "slow piano",
    "ref-audio": "",
    **BOTH_LAYOUTS,
}


@pytest.mark.parametrize("layout", [BENCHMARK_LAYOUT, RELEASED_LAYOUT], ids=["benchmark", "released"])
def test_both_layouts_of_cmi_give_the_same_preference(tmp_path, sounds, layout):
    sounds("wav/a.flac", "wav/b.flac")
    rows, _, _ = prepared(tmp_path, "cmi", write_rows(tmp_path / "set.jsonl", [layout]))
    (row,) = rows.values()
    assert isinstance(row, Preference)
    assert (row.prompt.text, row.prompt.lyrics, row.prompt.reference) == ("slow piano", "la la", None)
    assert (row.musicality, row.alignment) == ("a", "b")
    assert (row.confidence_musicality, row.confidence_alignment) == (4.0, None)
    assert row.audio_a.resolve() == tmp_path / "wav" / "a.flac"
    assert row.prompt.facts["model_b"] == "two"


def test_cmi_rows_of_one_piece_are_ratings_and_votes_count_for_the_head_that_is_asked(tmp_path, sounds):
    sounds("wav/a.flac", "wav/b.flac", "wav/r.flac")
    rating = {"source": "PAM", "audio-path": "wav/a.flac", "prompt": "rock", "musicality": "3.5"}
    rating["text-music alignment"] = ""
    vote = {"source": "Music Arena", "audio-path": "wav/a.flac", "audio2": "wav/b.flac", "preference": "B"}
    vote["ref-audio-path"] = "wav/r.flac"
    source = write_rows(tmp_path / "set.jsonl", [rating, vote])
    one, two = prepared(tmp_path, "cmi", source)[0].values()
    assert isinstance(one, Rating)
    assert (one.musicality, one.alignment) == (3.5, None)
    assert (two.musicality, two.alignment) == ("b", "")
    assert two.prompt.reference.resolve() == tmp_path / "wav" / "r.flac"
    both = prepared(tmp_path, "cmi", source, vote="both")[0]["cmi-000001"]
    assert (both.musicality, both.alignment) == ("b", "b")


def test_labels_are_called_alike(tmp_path, sounds):
    sounds("wav/a.flac", "wav/b.flac")
    labels = ("A", "model_b", "TIE", "BOTH_BAD", "both", "neither")
    rows = [{**RELEASED_LAYOUT, "preference-musicality": label} for label in labels]
    found = prepared(tmp_path, "cmi", write_rows(tmp_path / "set.jsonl", rows))[0].values()
    assert [row.musicality for row in found] == ["a", "b", "tie", "neither", "both", "neither"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audio-b": "wav/none.flac"}, "audio is missing"),
        ({"audio-b": "x" * 300}, "audio is missing"),
        ({"audio-b": "wav/\0.flac"}, "audio cannot be read"),
        ({"text": 5}, "not a judgement"),
        ({"audio-a": ""}, "no audio is named"),
        ({"preference-musicality": "left"}, "unknown label"),
        ({"preference-musicality": "", "preference-alignment": None}, "nobody judged it"),
        ({"confidence_preference-musicality": "9"}, "a confidence is not between 1 and 5"),
        ({"confidence_preference-musicality": "sure"}, "a confidence is no number"),
    ],
)
def test_what_cannot_become_a_row_is_named_and_the_others_stay(tmp_path, sounds, change, reason):
    sounds("wav/a.flac", "wav/b.flac")
    source = write_rows(tmp_path / "set.jsonl", [{**RELEASED_LAYOUT, **change}, RELEASED_LAYOUT])
    rows, record, reasons = prepared(tmp_path, "cmi", source)
    assert list(rows) == ["cmi-000001"]  # the place in the source
    assert reasons == {reason}
    assert record["skipped"] == {reason: 1}


@pytest.mark.parametrize("text", ["A calm piece\u2028with violins", '"Blue hour", slow', "one\x85two"])
def test_texts_of_a_csv_stay_whole(tmp_path, sounds, text):
    sounds("wav/a.flac", "wav/b.flac")
    with (tmp_path / "set.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, RELEASED_LAYOUT)
        writer.writeheader()
        writer.writerows([{**RELEASED_LAYOUT, "text": text}, RELEASED_LAYOUT])
    rows = prepared(tmp_path, "cmi", tmp_path / "set.csv")[0]
    assert [row.prompt.text for row in rows.values()] == [text, RELEASED_LAYOUT["text"]]


@pytest.mark.parametrize("name", ["rows.jsonl", "skipped.jsonl"])
def test_a_source_in_the_output_is_not_written_over(tmp_path, sounds, name):
    sounds("wav/a.flac", "wav/b.flac")
    (tmp_path / "prepared").mkdir()
    source = write_rows(tmp_path / "prepared" / name, [RELEASED_LAYOUT])
    before = source.read_text()
    with pytest.raises(InputError, match=rf"{name} would be overwritten by"):
        prepared(tmp_path, "cmi", source, audio=tmp_path)
    assert source.read_text() == before


def test_what_json_does_not_know_is_skipped(tmp_path, sounds):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sounds("wav/a.flac", "wav/b.flac")
    odd = [None, datetime(2025, 7, 1), float("nan")]
    columns = {name: [value] * 3 for name, value in RELEASED_LAYOUT.items()} | {"split": [*odd[:2], None]}
    table = pyarrow.table(columns | {"total_listening_time_a": pyarrow.array([1.0, 1.0, odd[2]])})
    parquet.write_table(table, tmp_path / "set.parquet")
    rows, _, reasons = prepared(tmp_path, "cmi", tmp_path / "set.parquet")
    assert list(rows) == ["cmi-000000"]
    assert reasons == {"not a judgement"}


def test_half_a_character_is_refused_before_anything_is_written(tmp_path, sounds):
    sounds("wav/a.flac", "wav/b.flac")
    source = write_rows(tmp_path / "set.jsonl", [RELEASED_LAYOUT, {**RELEASED_LAYOUT, "text": "calm \ud83d"}])
    with pytest.raises(InputError, match=r"set\.jsonl line 2: holds half a Unicode surrogate pair"):
        prepared(tmp_path, "cmi", source)
    assert list((tmp_path / "prepared").iterdir()) == []


def test_a_source_of_which_nothing_can_be_used_is_an_error(tmp_path):
    source = write_rows(tmp_path / "set.jsonl", [RELEASED_LAYOUT] * 3)
    with pytest.raises(InputError, match=r'"audio is missing": 3'):
        prepared(tmp_path, "cmi", source)


def test_cmi_is_read_from_parquet_too(tmp_path, sounds):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sounds("wav/a.flac", "wav/b.flac")
    table = pyarrow.Table.from_pylist([RELEASED_LAYOUT, {**RELEASED_LAYOUT, "text": "fast piano"}])
    (tmp_path / "data").mkdir()
    parquet.write_table(table, tmp_path / "data" / "train-0.parquet")
    rows, _, _ = prepared(tmp_path, "cmi", tmp_path)
    assert [row.prompt.text for row in rows.values()] == ["slow piano", "fast piano"]


def test_pam(tmp_path, sounds):
    sounds("human_eval/music/musicgen/x.flac")
    (tmp_path / "human_eval/music/musicgen/x.flac").rename(tmp_path / "human_eval/music/musicgen/x.wav")
    with (tmp_path / "human_eval/music/scores.csv").open("w", newline="") as file:
        lines = [("File Name", "Model", "OVL", "REL"), ("x", "musicgen", "3.2", "4.1")]
        csv.writer(file).writerows([*lines, ("x", "musicgen", "", ""), ("y", "m", "1", "1")])
    rows, _, reasons = prepared(tmp_path, "pam", tmp_path)
    (row,) = rows.values()
    assert (row.musicality, row.alignment, row.prompt.facts["model"]) == (3.2, 4.1, "musicgen")
    assert reasons == {"audio is missing", "nobody judged it"}


def test_music_eval(tmp_path, sounds):
    names = [f"audiomos2025-track1-{name}.wav" for name in ("S002_P044", "S001_P001")]
    sounds(*(f"wav/{name}".replace(".wav", ".flac") for name in names))
    for name in names:
        (tmp_path / "wav" / name.replace(".wav", ".flac")).rename(tmp_path / "wav" / name)
    (tmp_path / "prompt_info.txt").write_text('id\ttext\nP044\t"Rock, with drums"\n')
    (tmp_path / "demo_prompt_info.txt").write_text(f"id\ttext\n{names[1]}\tA demo\n")
    (tmp_path / "sets").mkdir()
    lines = [
        f"{names[0]},3.25,4.5",
        f"{names[1]}, 2.0, 2.5",
        "audiomos2025-track1-S002_P999.wav,1,1",
        "torn,1",
    ]
    (tmp_path / "sets" / "train_mos_list.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "sets" / "test_mos_list.txt").write_text(f"{names[0]},1,1\n")
    rows, _, reasons = prepared(tmp_path, "music_eval", tmp_path, split="train")
    assert [row.prompt.text for row in rows.values()] == ["Rock, with drums", "A demo"]
    assert [(row.musicality, row.alignment) for row in rows.values()] == [(3.25, 4.5), (2.0, 2.5)]
    assert reasons == {"its prompt is unknown", "not a line of three fields"}
    assert len(prepared(tmp_path, "music_eval", tmp_path)[0]) == 3


def test_prompts_of_music_eval_keep_their_signs(tmp_path, sounds):
    """Quotes are characters, and a line ends at its end alone."""
    texts = ['"Blue hour" style slow jazz', "A calm piece\u2028with violins", '"Dreamy pad, no drums', "fast"]
    (tmp_path / "sets").mkdir()
    for number in range(len(texts)):
        sounds(f"wav/audiomos2025-track1-S001_P{number}.flac")
    lines = "".join(f"audiomos2025-track1-S001_P{n}.flac,3.5,2.5\n" for n in range(len(texts)))
    (tmp_path / "sets" / "train_mos_list.txt").write_text(lines)
    prompts = "".join(f"P{number}\t{text}\n" for number, text in enumerate(texts))
    (tmp_path / "prompt_info.txt").write_text(f"id\ttext\n{prompts}", encoding="utf-8")
    rows, _, reasons = prepared(tmp_path, "music_eval", tmp_path)
    assert [row.prompt.text for row in rows.values()] == texts
    assert not reasons


def test_music_eval_as_the_hub_packs_it(tmp_path, sounds):
    """Two shards of one split and another split; a row is named by its place in its split."""
    import pyarrow
    from pyarrow import parquet

    sounds("one.flac", "two.flac")
    clips = [(tmp_path / name).read_bytes() for name in ("one.flac", "two.flac")]

    def shard(name, rows):
        columns = {
            "audio": [{"bytes": data, "path": path} for data, path, _ in rows],
            "overall quality": [quality for *_, quality in rows],
            "textual alignment": [3.0] * len(rows),
        }
        (tmp_path / "data").mkdir(exist_ok=True)
        parquet.write_table(pyarrow.table(columns), tmp_path / "data" / name)

    shard("train-00000-of-00002.parquet", [(clips[0], "x.flac", 2.5), (None, "y.flac", 1.0)])
    shard("train-00001-of-00002.parquet", [(clips[1], "z.flac", 4.0), (clips[1], "w.flac", None)])
    shard("test-00000-of-00001.parquet", [(clips[0], "x.flac", 5.0)])
    rows, _, reasons = prepared(tmp_path, "music_eval", tmp_path, split="train")
    assert [(row.musicality, row.alignment, row.prompt.text) for row in rows.values()] == [
        (2.5, None, ""),
        (4.0, None, ""),
    ]
    assert [row.file.name[:12] for row in rows.values()] == ["train-00000-", "train-00002-"]
    assert [row.file.read_bytes() for row in rows.values()] == clips
    assert reasons == {"audio is missing", "nobody judged it"}
    assert len(prepared(tmp_path, "music_eval", tmp_path)[0]) == 3
    shard("train-00000-of-00002.parquet", [(clips[1], "x.flac", 2.5)])  # as published anew
    (first, *_) = prepared(tmp_path, "music_eval", tmp_path, split="train")[0].values()
    assert first.file.read_bytes() == clips[1]
    with pytest.raises(InputError, match=r"neither sets/none_mos_list\.txt nor data/none-\*\.parquet"):
        prepared(tmp_path, "music_eval", tmp_path, split="none")


def test_song_eval_takes_the_mean_of_the_listeners(tmp_path, sounds):
    sounds("mp3/0.flac", "mp3/1.flac")
    aspects = [
        {"Coherence": 4, "Musicality": 3, "Memorability": 1},
        {"Coherence": 2, "Musicality": 4, "Memorability": 1},
    ]
    write_rows(
        tmp_path / "metadata.jsonl",
        [
            {"file_name": "mp3/0.flac", "annotation": aspects},
            {"file_name": "mp3/1.flac", "annotation": [{"Coherence": 3}]},
        ],
    )
    rows, _, reasons = prepared(tmp_path, "song_eval", tmp_path)
    (row,) = rows.values()
    assert (row.musicality, row.alignment) == (3.5, None)
    assert row.prompt.facts["Coherence"] == 3
    assert row.prompt.facts["listeners"] == 2
    assert reasons == {"nobody judged it"}


def battle(uuid, **changes):
    return {
        "battle_uuid": uuid,
        "prompt": f"battle {uuid}",
        "preference": "A",
        "audio_a": f"audio_files/01-2025JUL/{uuid}_a.flac",
        "audio_b": f"audio_files/01-2025JUL/{uuid}_b.flac",
        "system_a": {"system_tag": "one", "variant_tag": "small"},
        "system_b": "two",
        "lyrics": None,
        **changes,
    }


def test_music_arena(tmp_path, sounds):
    sounds(*(f"audio_files/01-2025JUL/{uuid}_{side}.flac" for uuid in "xy" for side in "ab"))
    for one in (battle("x"), battle("y", preference="BOTH_BAD"), battle("z"), battle("w", preference="")):
        path = tmp_path / "battle_data" / "01-2025JUL" / f"{one['battle_uuid']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(one))
    (tmp_path / "battle_data" / "01-2025JUL" / "zz.json").write_text("{torn")
    rows, _, reasons = prepared(tmp_path, "music_arena", tmp_path, split="01-2025JUL")
    # in the order of their files: w, x, y, z
    assert {name: row.musicality for name, row in rows.items()} == {
        "music_arena-01-2025JUL-000001": "a",
        "music_arena-01-2025JUL-000002": "neither",
    }
    facts = rows["music_arena-01-2025JUL-000001"].prompt.facts
    assert (facts["battle_uuid"], facts["model_a"], facts["month"]) == ("x", "one:small", "01-2025JUL")
    assert reasons == {"audio is missing", "nobody judged it", "the battle cannot be read"}


def test_aime_cuts_the_segments_that_were_heard(tmp_path, sounds):
    sounds("tracks/00012.flac", "tracks/04501.flac", seconds=2)
    answer = {
        "question-type": "Music Quality",
        "description": ["rock", "guitar", "fast"],
        "model-1": "one",
        "model-2": "two",
        "track-1-id": 12,
        "track-1-begin": 0.5,
        "track-1-end": 1.5,
        "track-2-id": 4501,
        "track-2-begin": 0,
        "track-2-end": 1,
        "answer": 2,
    }
    others = [
        {**answer, "question-type": "Text-Audio Alignment", "answer": "1"},
        {**answer, "answer": 3},
        {**answer, "question-type": "Speed"},
        {**answer, "track-2-begin": 5, "track-2-end": 6},
        {**answer, "track-2-id": 77},
    ]
    source = write_rows(tmp_path / "survey.jsonl", [answer, *others])
    rows, _, reasons = prepared(tmp_path, "aime", source, audio=tmp_path / "tracks")
    quality, fit = rows.values()
    assert (quality.prompt.text, quality.musicality, quality.alignment) == ("rock, guitar, fast", "b", "")
    assert (fit.musicality, fit.alignment) == ("", "a")
    whole, cut = read_clip(tmp_path / "tracks" / "00012.flac"), read_clip(quality.audio_a)
    assert (cut.waveform == whole.waveform[:, 12_000:36_000]).all()
    assert reasons == {
        "unknown label",
        "unknown question",
        "the segment lies outside the track",
        "audio is missing",
    }


def test_rows_that_leak_are_left_out_or_kept(tmp_path, sounds):
    sounds("a.flac", "b.flac", "c.flac", "d.flac")
    (tmp_path / "copy.flac").write_bytes((tmp_path / "a.flac").read_bytes())

    def pair(name, first, second, text, **facts):
        row = {"id": name, "audio_a": first, "audio_b": second, "text": text, "facts": facts}
        return row | {"preference_musicality": "a", "preference_alignment": ""}

    benchmark = write_rows(
        tmp_path / "test.jsonl", [pair("t", "a.flac", "b.flac", "Slow  Piano", battle_uuid="u")]
    )
    rows = [
        {**RELEASED_LAYOUT, "audio-a": "copy.flac", "audio-b": "c.flac", "text": "other", "lyrics": ""},
        {**RELEASED_LAYOUT, "audio-a": "c.flac", "audio-b": "d.flac", "text": "slow piano", "lyrics": ""},
        {**RELEASED_LAYOUT, "audio-a": "c.flac", "audio-b": "d.flac", "text": "slow piano", "lyrics": "la"},
    ]
    source = write_rows(tmp_path / "set.jsonl", rows)
    found, record, reasons = prepared(tmp_path, "cmi", source, benchmark=str(benchmark))
    assert list(found) == ["cmi-000002"]
    assert record["leaks"] == {"audio": 1, "prompt": 1}
    assert reasons == {"shares audio with a benchmark", "shares prompt with a benchmark"}
    kept, record, _ = prepared(tmp_path, "cmi", source, benchmark=str(benchmark), leaks="keep")
    assert len(kept) == 3
    assert record["leaks"] == {"audio": 1, "prompt": 1}
    again = write_rows(tmp_path / "train.jsonl", [pair("x", "c.flac", "d.flac", "z", battle_uuid="u")])
    assert check.main(check.Check([again], str(benchmark))) == 1
    assert check.main(check.Check([again])) == 0


def test_check_tells_what_is_missing_broken_and_judged_twice(tmp_path, sounds, capsys):
    sounds("a.flac", "b.flac")
    (tmp_path / "copy.flac").write_bytes((tmp_path / "a.flac").read_bytes())
    (tmp_path / "bad.flac").write_bytes(b"no audio")
    row = {"text": "x", "preference_musicality": "a", "preference_alignment": ""}

    def code(*pairs):
        rows = [{"id": str(i), "audio_a": a, "audio_b": b, **row} for i, (a, b) in enumerate(pairs)]
        found = check.main(check.Check([write_rows(tmp_path / "rows.jsonl", rows)]))
        return found, capsys.readouterr().out

    assert code(("a.flac", "b.flac"))[0] == 0
    found, said = code(("a.flac", "none.flac"), ("nothing.flac", "b.flac"))
    assert found == 1
    assert "none.flac" in said
    assert "nothing.flac" in said
    found, said = code(("a.flac", "bad.flac"))
    assert (found, "bad.flac" in said) == (1, True)
    found, said = code(("a.flac", "b.flac"), ("b.flac", "copy.flac"))
    assert found == 0
    assert "judged more than once, and not alike: 1" in said


def test_stats_count_by_modality_and_label(tmp_path, sounds):
    sounds("wav/a.flac", "wav/b.flac", seconds=1.5)
    rows = [
        RELEASED_LAYOUT,
        {**RELEASED_LAYOUT, "lyrics": "", "preference-musicality": "tie"},
        {"audio-path": "wav/a.flac", "prompt": "x", "musicality": 2},
    ]
    prepared(tmp_path, "cmi", write_rows(tmp_path / "set.jsonl", rows))
    path = tmp_path / "prepared" / "rows.jsonl"
    stats.main(stats.Stats([path], tmp_path / "stats.json"))
    found = json.loads((tmp_path / "stats.json").read_text())
    assert (found["preferences"], found["ratings"], found["files"]) == (2, 1, 2)
    assert found["modality"] == {"text": 2, "text+lyrics": 1}
    assert found["musicality"]["labels"] == {"a": 1, "tie": 1}
    assert found["musicality"]["a_share"] == 1.0
    assert found["musicality"]["ratings"]["mean"] == 2
    assert found["hours"] == pytest.approx(3 / 3600)
    assert read_header(tmp_path / "wav" / "a.flac").samples == 36_000


def test_the_commands_run_from_the_shell(tmp_path, sounds, capsys):
    """One in a process of its own; the others behind the same function, which is quicker."""
    sounds("wav/a.flac", "wav/b.flac")
    source = write_rows(tmp_path / "set.jsonl", [RELEASED_LAYOUT])
    output = tmp_path / "prepared"
    rows = output / "rows.jsonl"
    preparing = ["prepare", "--format", "cmi", "--source", str(source), "--output", str(output)]
    command = [sys.executable, "-m", "reward.data", *preparing]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(load_preferences(rows)) == 1

    def data(*arguments):
        with pytest.raises(SystemExit) as ended:
            reward.data.__main__.main([*map(str, arguments)])
        return ended.value.code, *capsys.readouterr()

    assert data("check", rows, rows)[0] == 0
    assert data("check", rows, "--benchmark", rows)[0] == 1
    assert "text+lyrics" in data("stats", rows)[1]
    code, _, told = data(*preparing, "--format", "mp3")
    assert code == 2
    assert "--format must be one of 'cmi', " in told
    assert data("count")[0] == 2


def test_what_can_be_told_before_the_rows_are_read_is(tmp_path, sounds):
    rows = {"format": "cmi", "source": str(tmp_path / "unread.jsonl"), "output": tmp_path / "out"}
    with pytest.raises(InputError, match=r"--audio .*nowhere is not a folder"):
        Prepare(**rows, audio=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.jsonl"):
        main(Prepare(**rows, benchmark=str(tmp_path / "nowhere.jsonl")))


@pytest.mark.parametrize(
    ("name", "message"), [("a.wav", "a .json file"), ("d.json", "a file, got the folder")]
)
def test_stats_are_written_over_nothing_else(tmp_path, name, message):
    (tmp_path / "d.json").mkdir()
    (tmp_path / "a.wav").write_text("sound")
    with pytest.raises(InputError, match=f"--json must name {message}"):
        stats.main(stats.Stats([tmp_path / "unread.jsonl"], tmp_path / name))
    assert (tmp_path / "a.wav").read_text() == "sound"
