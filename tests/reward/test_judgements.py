"""Preference rows: what is read, what is refused and how."""

import pytest

from music.clips import write_clip
from music.errors import InputError
from reward.judgements import load_judgements, load_pairs, load_preferences
from tests.reward.training_runs import write_rows

ROW = {
    "id": "1",
    "audio_a": "a.flac",
    "audio_b": "b.flac",
    "preference_musicality": "a",
    "preference_alignment": "",
}


@pytest.fixture
def write(tmp_path, noise):
    for name in "abr":
        write_clip(tmp_path / f"{name}.flac", noise(2000))

    def make(*rows):
        return write_rows(tmp_path / "pairs.jsonl", rows)

    return make


def test_rows_are_read(write, tmp_path):
    full = {"text": "pop", "lyrics": "la", "reference": "r.flac", "facts": {"x": 1}}
    first, second = load_preferences(write(ROW, {**ROW, **full, "id": "2", "preference_alignment": "tie"}))
    assert (first.musicality, first.alignment) == ("a", "")
    assert (first.prompt.text, first.prompt.reference) == ("", None)
    assert first.audio_b == tmp_path / "b.flac"
    assert (second.alignment, second.prompt.text, second.prompt.lyrics) == ("tie", "pop", "la")
    assert second.prompt.reference == tmp_path / "r.flac"
    assert len(load_preferences(write(ROW, {**ROW, "id": "2"}), limit=1)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio_a": None}, "field 'audio_a' must be a text, got None"),
        ({"audio_b": "z.flac"}, "audio_b .*z.flac does not exist"),
        ({"reference": "z.flac"}, "reference .*z.flac does not exist"),
        ({"preference_musicality": "A"}, "preference_musicality must be"),
        ({"preference_musicality": ""}, "no preference is given"),
        ({"confidence_alignment": 6}, "confidence_alignment must be a number from 1 to 5, got 6"),
        ({"confidence_musicality": "3"}, "confidence_musicality must be a number from 1 to 5, got '3'"),
        ({"rating_musicality": 3}, "unknown field 'rating_musicality'"),
        ({"id": ""}, "the id is empty"),
        ({"facts": ["arena"]}, r"field 'facts' must be an object, got \['arena'\]"),
        ({"text": "calm \ud83d"}, "holds half a Unicode surrogate pair"),
        ({"audio_a": "x" * 300}, "audio_a .* cannot be opened: File name too long"),
        ({"id": 7}, "field 'id' must be a text, got 7"),
        ({"confidence": "3"}, "unknown field 'confidence'"),
    ],
)
def test_bad_rows_are_named(write, change, message):
    with pytest.raises(InputError, match=rf"pairs\.jsonl line 2: {message}"):
        load_preferences(write({**ROW, "id": "0"}, {**ROW, **change}))


def test_missing_fields_and_double_ids_are_named(write):
    with pytest.raises(InputError, match="line 1: field 'audio_b' is missing"):
        load_preferences(write({name: value for name, value in ROW.items() if name != "audio_b"}))
    with pytest.raises(InputError, match="line 3: id '1' comes twice, first in line 1"):
        load_preferences(write(ROW, {**ROW, "id": "2"}, ROW))
    with pytest.raises(InputError, match="holds no preferences"):
        load_preferences(write())


def test_ratings_are_read_beside_preferences(write, tmp_path):
    rating = {"id": "2", "audio": "r.flac", "rating_musicality": 3.5, "text": "pop", "rating_alignment": None}
    sure = {**ROW, "confidence_musicality": 4, "preference_alignment": "both"}
    path = write(sure, rating)
    preference, other = load_judgements(path)
    assert (preference.confidence_musicality, preference.confidence_alignment) == (4.0, None)
    assert (preference.alignment, preference.audio) == ("both", (tmp_path / "a.flac", tmp_path / "b.flac"))
    assert (other.musicality, other.alignment, other.prompt.text) == (3.5, None, "pop")
    assert other.audio == (tmp_path / "r.flac",)
    with pytest.raises(InputError, match="row '2' is a rating, expected preferences alone"):
        load_preferences(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rating_musicality": None}, "no rating is given"),
        ({"rating_musicality": 0.5}, "rating_musicality must be a number from 1 to 5, got 0.5"),
        ({"rating_musicality": True}, "rating_musicality must be a number from 1 to 5, got True"),
        ({"audio": "z.flac"}, "audio .*z.flac does not exist"),
        ({"preference_musicality": "a"}, "unknown field 'preference_musicality'"),
    ],
)
def test_bad_ratings_are_named(write, change, message):
    rating = {"id": "2", "audio": "r.flac", "rating_musicality": 3}
    with pytest.raises(InputError, match=rf"pairs\.jsonl line 2: {message}"):
        load_judgements(write(ROW, {**rating, **change}))


def test_pairs_to_be_judged_need_no_labels(write):
    bare = {name: ROW[name] for name in ("id", "audio_a", "audio_b")}
    first, second = load_pairs(write(bare, {**ROW, "id": "2"}))
    assert (first.musicality, first.alignment, second.musicality) == ("", "", "a")
    with pytest.raises(InputError, match="'preference_musicality' is missing"):
        load_preferences(write(bare))
    with pytest.raises(InputError, match="is a rating"):
        load_pairs(write({"id": "1", "audio": "a.flac", "rating_musicality": 3}))
