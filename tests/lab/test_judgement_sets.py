"""Sets of judgement on the lab's songs: read as the published ones are, judged by listeners who err as told."""

import json
from collections import defaultdict

import pytest

from experiments.lab.judgement_sets import WriteSets, main
from experiments.lab.judgements.hearing import Hearing
from experiments.lab.judgements.listeners import opinion, vote
from experiments.lab.judgements.pairs import pair
from music.clips import read_header
from music.errors import InputError
from music.jsonl import read_jsonl
from reward.benchmark.extra import extra, identity_of
from reward.data.prepare import Prepare
from reward.data.prepare import main as prepare
from reward.judgements import HEADS, Preference, Rating, load_judgements, load_preferences


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Write a small share of all sets."""
    folder = tmp_path_factory.mktemp("sets")
    main(WriteSets(folder, share=0.002, workers=1))
    return folder


def prepared(sets, tmp_path, kind, source, **options):
    """Return the rows of a set, of which nothing is left out."""
    output = tmp_path / source.replace("/", "-")
    prepare(Prepare(kind, str(sets / source), output, **options))
    assert (output / "skipped.jsonl").read_text() == ""
    return load_judgements(output / "rows.jsonl")


def test_every_set_is_read_whole(sets, tmp_path):
    train = prepared(sets, tmp_path, "cmi", "CMI-Pref/train.jsonl")
    assert len(train) == 4 * 2
    assert all(isinstance(row, Preference) and 1 <= row.confidence_musicality <= 5 for row in train)
    assert {bool(row.prompt.reference) for row in train} == {True, False}
    rated = prepared(sets, tmp_path, "music_eval", "MusicEval-full", split="train")
    assert len(rated) == 4
    assert all(isinstance(row, Rating) and row.prompt.text and row.alignment for row in rated)


def test_the_judge_agrees_with_itself_in_what_is_released(sets, tmp_path):
    agreed = prepared(sets, tmp_path, "cmi", "CMI-Pref-Pseudo/train.jsonl")
    said = prepared(sets, tmp_path, "cmi", "CMI-Pref-Pseudo/train_unfiltered.jsonl")
    assert len(said) == 4 * 5
    assert 4 < len(agreed) < len(said)
    first = {row.audio_a.name: row for row in said}
    for row in agreed:
        for head in HEADS:
            assert getattr(row, head) in ("", getattr(first[row.audio_a.name], head))


def test_what_two_questions_find_and_what_they_do_not():
    gaps = {f"pair {number}": (-1) ** number * (0.2 + number % 40 / 100) for number in range(4000)}

    def shares(hearing):
        right, agreed = [], []
        for name, gap in gaps.items():
            true = "a" if gap > 0 else "b"
            first = hearing.verdict(gap, "musicality", False, name).preference
            second = hearing.verdict(gap, "musicality", True, name).reversed().preference
            right.append(first == true)
            if first == second and first in ("a", "b"):
                agreed.append(first == true)
        return sum(right) / len(right), sum(agreed) / len(agreed)

    noisy, found = shares(Hearing(lean=0.1, mishearing=0.0, noise=0.2))
    assert found > noisy + 0.1
    wrong, kept = shares(Hearing(lean=0.0, mishearing=0.2, noise=0.0))
    assert kept < wrong + 0.12
    assert Hearing().verdict(0.3, "alignment", True, "x") == Hearing().verdict(0.3, "alignment", True, "x")


def test_taste_and_halo_are_the_judges_own():
    plain, own = Hearing(taste=0.0, halo=0.0), Hearing(taste=0.3, halo=0.9)
    liked, swayed = set(), set()
    for index in range(60):
        row, songs = pair("train", "text", index)
        heard, true = own.perceived(row, songs), plain.perceived(row, songs)
        cleaner = songs["b"].severity - songs["a"].severity
        assert true["musicality"] == cleaner
        assert true["alignment"] == (0.5 if row["preference_alignment"] == "a" else -0.5)
        assert heard["alignment"] == pytest.approx(true["alignment"] + 0.9 * cleaner)
        facts = [songs[part].facts for part in "ab"]
        if (facts[0].drums, facts[0].tempo) == (facts[1].drums, facts[1].tempo):
            assert heard["musicality"] == cleaner
        elif facts[0].drums > facts[1].drums and facts[0].tempo == facts[1].tempo:
            assert heard["musicality"] == pytest.approx(cleaner + 0.3)
        liked.add(heard["musicality"] == cleaner)
        swayed.add(heard["alignment"] * true["alignment"] > 0)
    assert liked == swayed == {True, False}


def test_the_benchmark_has_rows_of_all_four_sources(sets, tmp_path):
    lines = [row for _, row in read_jsonl(sets / "CMI-RewardBench" / "all_test.jsonl")]
    assert {row["source"] for row in lines} == {"cmi-arena-annotation", "Music Arena", "PAM", "MusicEval"}
    assert {row["made_by"] for row in lines} == {"experiments.lab.judgement_sets"}
    modalities = {row["modality"] for row in lines if "modality" in row}
    assert modalities == {"text", "text+lyrics", "text+ref", "text+lyrics+ref"}
    rows = prepared(sets, tmp_path, "cmi", "CMI-RewardBench/all_test.jsonl")
    assert len(rows) == len(lines)
    votes = [row for row in rows if row.prompt.facts["source"] == "Music Arena"]
    assert all(row.musicality in ("a", "b") and not row.alignment for row in votes)
    assert {read_header(path).sample_rate for row in rows for path in row.audio} == {16_000}


def test_some_pairs_are_heard_twice_and_clips_say_what_made_them(sets):
    rows = [row for _, row in read_jsonl(sets / "CMI-RewardBench" / "all_test.jsonl")]
    votes = defaultdict(list)
    for row in rows:
        votes[identity_of(row)].append(row)
    twice = [both for both in votes.values() if len(both) > 1]
    assert len(votes) == 4 * 2 + 3 + 1 + 1
    assert [len(both) for both in twice] == [2] * 4
    for first, second in twice:
        assert (first["user id"], second["user id"]) == ("listener 1", "listener 2")
        assert rows.index(first) < len(votes) <= rows.index(second)  # limits and places stay as they are
        same = {name for name in first if first[name] == second[name]}
        assert not {name for name in first if "preference" not in name} - same - {"user id"}
    whole = [line for line in extra(rows) if line["metric"] == "people" and line["group_key"] == "all"]
    assert [(line["task"], line["n"]) for line in whole] == [("alignment", 4), ("musicality", 4)]
    row, songs = pair("test", "text", 0)
    for side, name in (("a", "audio-path"), ("b", "audio2")):
        (found, *_) = [one for one in rows if one.get(name, "").endswith(f"/{row['id']}-{side}.flac")]
        worst = max(songs[side].damage, key=songs[side].damage.get, default="clean")
        assert found[f"model_{side}"] == f"lab-{worst}"
    assert all(bool(row.get("model_b")) == ("audio2" in row) for row in rows)


def test_two_listeners_agree_as_often_as_their_noise_lets_them():
    votes = [[vote(0.4, "musicality", f"pair {n}", *name).label for name in ((), (2,))] for n in range(3000)]
    agreed = [one == other for one, other in votes if {one, other} <= {"a", "b"}]
    assert 0.55 < sum(agreed) / len(agreed) < 0.67  # two of whom each is right in 73 %


def test_the_benchmark_alone_is_that_of_a_full_run_and_the_others_can_follow(sets, tmp_path):
    def files(folder, *names):
        found = (path for name in names for path in (folder / name).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    main(WriteSets(tmp_path, share=0.002, workers=1, only="CMI-RewardBench"))
    whole = files(sets, "CMI-RewardBench")
    assert len(whole) > 20
    assert files(tmp_path, *(path.name for path in tmp_path.iterdir() if path.is_dir())) == whole
    main(WriteSets(tmp_path, share=0.002, workers=1, only="CMI-Pref"))
    assert files(tmp_path, "CMI-Pref", "CMI-RewardBench") == files(sets, "CMI-Pref", "CMI-RewardBench")
    with pytest.raises(InputError, match=r"--only must be one of CMI-Pref-Pseudo, .*, got 'PAM'"):
        WriteSets(only="PAM")


def test_people_who_train_and_people_who_test_hear_other_songs(sets, tmp_path):
    prepare(Prepare("cmi", str(sets / "CMI-RewardBench/all_test.jsonl"), tmp_path / "test"))
    against = str(tmp_path / "test/rows.jsonl")
    for source in ("CMI-Pref/train.jsonl", "CMI-Pref/validation.jsonl"):
        prepare(Prepare("cmi", str(sets / source), tmp_path / "train", benchmark=against))
        assert json.loads((tmp_path / "train" / "run.json").read_text())["leaks"].get("audio", 0) == 0
        assert load_preferences(tmp_path / "train" / "rows.jsonl")


def test_three_of_four_listeners_agree_with_the_truth_and_the_sure_ones_more():
    votes = [(vote(gap, "musicality", gap, number), gap) for gap in (0.3, 0.5, 0.8) for number in range(1500)]
    decided = [one for one, _ in votes if one.label in ("a", "b")]
    right = sum(one.label == "a" for one in decided) / len(decided)
    assert 0.72 < right < 0.82
    sure = [one.label == "a" for one in decided if one.confidence >= 4]
    unsure = [one.label == "a" for one in decided if one.confidence <= 2]
    assert sum(sure) / len(sure) > right + 0.05 > sum(unsure) / len(unsure) + 0.1
    assert vote(0.4, "alignment", "x") == vote(0.4, "alignment", "x")
    turned = [vote(-0.5, "musicality", number).label for number in range(1500)]
    assert 0.72 < turned.count("b") / (turned.count("a") + turned.count("b")) < 0.82


def test_opinions_follow_quality_within_their_scale():
    qualities = (0.0, 0.5, 1.0)
    means = [sum(opinion(one, 5, one, number) for number in range(300)) / 300 for one in qualities]
    assert 1.0 <= means[0] < 1.5 < 2.8 < means[1] < 3.2 < 4.5 < means[2] <= 5.0
