"""MusicCaps from CSV, parquet and the hub: which rows are taken, what becomes of them, how mistakes are named."""

import csv
import hashlib
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest

from music.errors import InputError
from music.prompts import Prompt, load_prompts, prompts_record

HEADER = (
    "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,"
    "author_id,is_balanced_subset,is_audioset_eval\n"
)
ROWS = (
    '-x,30,40,/m/1,"[\'a\', ""it\'s b""]","A ""song"", low",4,False,True\n'
    "y,0,10,/m/1,[],Train,4,False,False\n"
    'z,20,30,"/m/1,/m/2","[\'solo\']","Two\nlines",5,True,True\n'
)


@pytest.fixture
def musiccaps(tmp_path):
    path = tmp_path / "musiccaps.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    return path


def ids(source):
    return [prompt.id for prompt in load_prompts(source)]


def as_parquet(path, typed):
    """Write a copy as parquet: with the types that readers of the CSV infer, or everything as text."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if typed:
        for row in rows:
            row.update({name: int(row[name]) for name in ("start_s", "end_s", "author_id")})
            row.update({name: row[name] == "True" for name in ("is_balanced_subset", "is_audioset_eval")})
            row.update(audio=b"RIFF")
    copy = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), copy)
    return copy


def test_the_rows_of_the_evaluation_split_become_prompts(musiccaps):
    facts = {
        "start_s": 30,
        "end_s": 40,
        "author_id": 4,
        "is_balanced_subset": False,
        "is_audioset_eval": True,
        "audioset_positive_labels": "/m/1",
        "aspect_list": ["a", "it's b"],
    }
    first, second = load_prompts(musiccaps)
    assert first == Prompt("-x", 'A "song", low', facts=facts)
    assert (second.id, second.text) == ("z", "Two\nlines")
    json.dumps(second.facts)


def test_a_selection_takes_other_rows(musiccaps):
    assert ids(musiccaps) == ids(f"{musiccaps}:eval") == ["-x", "z"]
    assert ids(f"{musiccaps}:balanced") == ["z"]
    assert ids(f"{musiccaps}:train") == ["y"]
    assert ids(f"{musiccaps}:all") == ["-x", "y", "z"]
    with pytest.raises(
        InputError, match=r"unknown selection 'test' of .*musiccaps\.csv: expected eval, balanced"
    ):
        load_prompts(f"{musiccaps}:test")


@pytest.mark.parametrize("typed", [True, False])
def test_parquet_gives_what_the_csv_gives(musiccaps, typed):
    copy = as_parquet(musiccaps, typed)
    for selection in ("", ":balanced", ":all"):
        assert load_prompts(f"{copy}{selection}") == load_prompts(f"{musiccaps}{selection}")


def test_parquet_may_hold_the_aspects_as_a_list(tmp_path):
    row = {"ytid": "a", "caption": "c", "aspect_list": ["slow"], "is_audioset_eval": True}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "m.parquet")
    assert load_prompts(tmp_path / "m.parquet")[0].facts["aspect_list"] == ["slow"]


def test_a_list_of_ids_decides_rows_and_order_and_its_hash_is_recorded(musiccaps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listing = tmp_path / "ids.txt"
    listing.write_text("z\n-x\n")
    source = f"{musiccaps}:ids.txt"
    assert ids(source) == ["z", "-x"]
    hashed = hashlib.sha256(listing.read_bytes()).hexdigest()
    record = prompts_record(source, load_prompts(source))
    assert record == {"source": source, "count": 2, "ids_sha256": hashed, "id_list_sha256": hashed}
    listing.write_text("z\r\n\n-x")  # as other editors write it: other bytes, the same prompts
    again = prompts_record(source, load_prompts(source))
    assert again["ids_sha256"] == hashed
    assert again["id_list_sha256"] == hashlib.sha256(listing.read_bytes()).hexdigest() != hashed
    assert prompts_record(source, load_prompts(source, limit=1))["ids_sha256"] != hashed


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("z\nq\n", r"ids\.txt line 2: .*musiccaps\.csv has no ytid 'q'"),
        ("z\n\nz\n", r"ids\.txt line 3: id 'z' comes twice, first in line 1"),
        ("", "holds no prompt"),
    ],
)
def test_mistakes_in_a_list_of_ids(musiccaps, tmp_path, listed, message):
    (tmp_path / "ids.txt").write_text(listed)
    with pytest.raises(InputError, match=message):
        load_prompts(f"{musiccaps}:{tmp_path / 'ids.txt'}")


GOOD = "-x,0,1,/m/1,['a'],c,4,False,True\n"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,0,1,a,[],,4,False,True\n", "field 'caption' is empty"),
        (",0,1,a,[],c,4,False,True\n", "field 'ytid' is empty"),
        ("x,0,1,a,b,c\n", "field 'is_audioset_eval' must be True or False, got None"),
        ("x,0,1,a,[],c,4,maybe,True\n", "field 'is_balanced_subset' must be True or False, got 'maybe'"),
        ("x,soon,1,a,[],c,4,False,True\n", "field 'start_s' must be a whole number, got 'soon'"),
        (
            "x,0,1,a,slow,c,4,False,True\n",
            "field 'aspect_list' must be a list of texts in quotes, got 'slow'",
        ),
        ("x,0,1,a,[1],c,4,False,True\n", "field 'aspect_list' must be a list of texts"),
        ("x,0,1,a,print('hi'),c,4,False,True\n", "field 'aspect_list' must be a list of texts"),
        ("-x,0,1,a,[],c,4,False,True\n", "id '-x' comes twice, first in line 2"),
        ('x,0,1,a,[],"c"d,4,False,True\n', "not CSV"),
        ("x,0,1,a,[],c,4,False,True,5\n", "more fields than the 9 of the header"),
    ],
)
def test_a_bad_row_names_file_line_and_field(tmp_path, capsys, row, message):
    path = tmp_path / "m.csv"
    path.write_text(HEADER + GOOD + row)
    with pytest.raises(InputError, match=message) as caught:
        load_prompts(path)
    assert "m.csv line 3" in str(caught.value)
    assert capsys.readouterr().out == ""  # nothing in it is run
    if "must be" in message and "eval" not in message:  # what is not used may be wrong
        assert len(load_prompts(write_ids(tmp_path, path))) == 1


def write_ids(tmp_path, path):
    (tmp_path / "ids.txt").write_text("-x\n")
    return f"{path}:{tmp_path / 'ids.txt'}"


def test_another_table_is_not_taken_for_musiccaps(tmp_path):
    (tmp_path / "m.csv").write_text("ytid,text\nx,y\n")
    with pytest.raises(InputError, match=r"m\.csv line 1: column 'caption' is missing"):
        load_prompts(tmp_path / "m.csv")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"ytid": "x"}]), tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"m\.parquet: column 'caption' is missing"):
        load_prompts(tmp_path / "m.parquet")


def test_a_bad_row_of_a_parquet_file_is_named(musiccaps):
    musiccaps.write_text(HEADER + GOOD + "x,0,1,a,slow,c,4,False,True\n")
    with pytest.raises(InputError, match=r"musiccaps\.parquet row 2: field 'aspect_list' must be"):
        load_prompts(as_parquet(musiccaps, typed=True))


def test_a_damaged_parquet_file_and_a_missing_extra_are_one_line(musiccaps, monkeypatch):
    copy = as_parquet(musiccaps, typed=True)
    copy.write_bytes(copy.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"musiccaps\.parquet cannot be read as parquet"):
        load_prompts(copy)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r'needs the extra "parquet".*pip install -e "\.\[parquet\]"'):
        load_prompts(copy)


def test_a_hub_id_gives_the_csv_of_that_data_set(musiccaps, tmp_path, monkeypatch):
    asked = []

    def download(repository, repo_type, allow_patterns):
        asked.append((repository, repo_type, *allow_patterns))
        return str(tmp_path)

    (tmp_path / "musiccaps-public.csv").write_bytes(musiccaps.read_bytes())
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    assert ids("google/MusicCaps") == ["-x", "z"]
    assert ids("google/MusicCaps:balanced") == ["z"]
    assert set(asked) == {("google/MusicCaps", "dataset", "musiccaps-public.csv")}


def test_a_hub_id_that_cannot_be_had_is_one_line(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    for name in ("google/NoSuchCaps", "google/NoSuchCaps-v1.5"):  # a dot does not make it a file
        with pytest.raises(InputError, match=f"no file '{name}', .*the hub cannot be reached") as caught:
            load_prompts(name)
        assert "\n" not in str(caught.value)
