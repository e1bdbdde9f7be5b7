"""The lab's pairs are what they claim, and agreement with them is measured once."""

import json
from collections import Counter

import pytest

from experiments.lab.check import OVERALL, agreement
from experiments.lab.judgements.pairs import CONDITIONS, GAP, pair, pair_called
from experiments.lab.pairs import HELD_OUT, write_pairs
from experiments.lab.training.cmi_rm import write_ratings
from experiments.lab.world.facts import LYRICS_FACTS
from experiments.lab.world.wording import ADJECTIVES, CLAUSES
from music.errors import InputError
from music.shipped_files import asset
from reward import load_scorer
from reward.bradley_terry import accuracy_of
from reward.judgements import HEADS, Preference, Rating, load_judgements, load_preferences
from reward.protocol import ScoreRequest


@pytest.mark.parametrize("kind", CONDITIONS)
def test_pairs_are_answered_by_the_truth(kind):
    answers = set()
    for index in range(20):
        row, songs = pair("test", kind, index)
        a, b = songs["a"], songs["b"]
        assert abs(a.severity - b.severity) >= GAP
        assert (a.severity < b.severity) == (row["preference_musicality"] == "a")
        right, wrong = (a, b) if row["preference_alignment"] == "a" else (b, a)
        assert differing_facts(right, wrong) == set(row["facts"]["changed"])
        assert len(row["facts"]["changed"]) in (1, 2)
        assert bool(row["lyrics"]) == (kind in ("text+lyrics", "all"))
        if "reference" in songs:
            assert songs["reference"].facts == right.facts
            assert songs["reference"].composition().parts != right.composition().parts
        answers.add((row["preference_musicality"], row["preference_alignment"]))
    assert len(answers) == 4, "the two answers are independent"


def differing_facts(one, other):
    before, after = one.facts.as_dict(), other.facts.as_dict()
    return {name for name in before if before[name] != after[name]}


def test_contrasts_differ_only_in_what_the_lyrics_or_the_reference_tell():
    for index in range(20):
        row, songs = pair("test", "lyrics only", index)
        a, b = songs["a"], songs["b"]
        assert a.damage == b.damage
        assert row["preference_musicality"] == ""
        assert differing_facts(a, b) <= set(LYRICS_FACTS)
        notes = [one.composition().parts for one in (a, b)]
        assert all(notes[0][part] == notes[1][part] for part in notes[0] if part != "voice")
        assert row["lyrics"]
        assert "reference" not in songs

        row, songs = pair("test", "reference only", index)
        a, b = songs["a"], songs["b"]
        right, wrong = (a, b) if row["preference_alignment"] == "a" else (b, a)
        assert a.damage == b.damage
        assert row["preference_musicality"] == ""
        (hidden,) = differing_facts(right, wrong)
        assert songs["reference"].facts == right.facts
        for value in (wrong.facts.as_dict()[hidden], right.facts.as_dict()[hidden]):
            for phrase in (*ADJECTIVES.get((hidden, value), ()), *CLAUSES.get((hidden, value), ())):
                assert f" {phrase}," not in f" {row['text']},", "the caption tells"


def test_ratings_say_how_badly_a_clip_is_damaged(tmp_path, small_codec):
    pairs = write_pairs(tmp_path, "train", {"text": 3, "reference only": 1}, small_codec, more=2)
    rows = load_judgements(write_ratings(pairs))
    preferences, rated = ([row for row in rows if isinstance(row, kind)] for kind in (Preference, Rating))
    assert [row.prompt.facts["kind"] for row in preferences] == ["text"] * 3 + ["reference only"]
    assert len(rated) == 8
    for row, a, b in zip(preferences, rated[::2], rated[1::2], strict=True):
        assert (a.audio, b.audio) == ((row.audio_a,), (row.audio_b,))
        assert (a.prompt.text, a.prompt.reference) == (row.prompt.text, row.prompt.reference)
        assert a.alignment is None
        assert a.musicality == pytest.approx(5 - 4 * row.prompt.facts["severity_a"], abs=1e-3)
        if row.musicality:
            assert row.musicality == ("a" if a.musicality > b.musicality else "b")


def test_shipped_pairs_are_those_that_the_code_makes():
    rows = [json.loads(line) for line in asset("lab/pairs.jsonl").read_text().splitlines()]
    assert Counter(row["facts"]["kind"] for row in rows) == HELD_OUT
    for row in rows[::250]:
        assert row == pair_called(row["id"])[0]


def test_workers_make_no_difference(tmp_path, small_codec):
    counts = {"text": 21, "reference only": 1}  # two chunks
    for workers in (1, 2):
        write_pairs(tmp_path / str(workers), "test", counts, small_codec, workers)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "1", tmp_path / "2")
    )
    assert len(one) == 2 * 21 + 3 + 2
    assert one == two


def test_agreement_is_kept_and_refuses_other_counts(tmp_path, small_codec):
    counts = {"text": 2, "reference only": 1}
    found = agreement("lab-cmi-rm", small_codec, counts, tmp_path)
    assert [found["alignment"][name].pairs for name in (OVERALL, *counts)] == [2, 2, 1]
    assert "reference only" not in found["musicality"]
    before = [(path, path.stat().st_mtime_ns) for path in tmp_path.glob("margins*")]
    assert len(before) == 1
    assert agreement("lab-cmi-rm", small_codec, counts, tmp_path) == found
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.glob("margins*")] == before
    with pytest.raises(InputError, match=r"another counts \(.*\): delete it"):
        agreement("lab-cmi-rm", small_codec, {"text": 3}, tmp_path)


def test_agreement_is_that_of_the_written_pairs(tmp_path, small_codec):
    counts = {"all": 2}
    found = agreement("lab-cmi-rm", small_codec, counts, tmp_path / "work")
    rows = load_preferences(write_pairs(tmp_path, "test", counts, small_codec))
    requests = [ScoreRequest(audio, row.prompt) for row in rows for audio in (row.audio_a, row.audio_b)]
    scores = load_scorer("lab-cmi-rm").score(requests)
    for head in HEADS:
        differences = [a[head] - b[head] for a, b in zip(scores[::2], scores[1::2], strict=True)]
        assert found[head]["all"] == accuracy_of(differences, [getattr(row, head) for row in rows])


def test_written_pairs_are_preference_rows_and_are_kept(tmp_path, small_codec):
    counts = dict.fromkeys(HELD_OUT, 1)
    path = write_pairs(tmp_path, "test", counts, small_codec)
    rows = load_preferences(path)
    assert [row.prompt.facts["kind"] for row in rows] == list(HELD_OUT)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "audio").iterdir()}
    path.unlink()
    write_pairs(tmp_path, "test", counts, small_codec)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "audio").iterdir()} == before


def test_pairs_across_prompts_are_of_the_same_clips(tmp_path, small_codec):
    counts = dict.fromkeys(("text", "text+reference"), 4)
    rows = [json.loads(line) for line in write_pairs(tmp_path, "train", counts, small_codec).open()]
    path = write_pairs(tmp_path, "train", counts, small_codec, more=12)
    written = [json.loads(line) for line in path.open()]
    assert written[: len(rows)] == rows
    assert len(load_preferences(path)) == len(rows) + 12
    severity = {
        row[f"audio_{side}"]: (row["facts"][f"severity_{side}"], row["id"]) for row in rows for side in "ab"
    }
    prompts = {(row["text"], row["lyrics"], row.get("reference")): row["id"] for row in rows}
    for row in written[len(rows) :]:
        (first, one), (second, other) = severity[row["audio_a"]], severity[row["audio_b"]]
        assert row["preference_musicality"] == ("a" if first < second else "b")
        assert abs(first - second) >= GAP
        assert one != other
        assert prompts[row["text"], row["lyrics"], row.get("reference")] in (one, other)
        assert row["preference_alignment"] == ""
