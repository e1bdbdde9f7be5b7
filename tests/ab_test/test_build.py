"""Building: blind, fair, repeatable; the checker finds what is not."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from experiments.ab_test.building import check
from experiments.ab_test.building.build import main, refuse_revealing_texts
from experiments.ab_test.building.config import Build
from experiments.ab_test.building.systems import System, parse_systems
from experiments.ab_test.study import AUDIO, BLINDED, KEY, STUDY, load_study, read_study
from music.command import parse_command
from music.errors import InputError
from music.hashing import sha256_file
from music.prompts import Prompt
from tests.ab_test.small_study import CHOSEN, build_study, folder_of, make_pool

CONFIG = Path(__file__).parents[2] / "experiments" / "configs" / "paper_listening_test.yaml"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_study(tmp_path_factory.mktemp("built"))


@pytest.fixture
def folder(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "study"))


def findings(folder):
    return list(check.findings_of(folder / BLINDED, *load_study(folder)))


def test_a_study_is_blind_and_fair(built, capsys):
    assert check.main(check.Check(built)) == 0
    assert capsys.readouterr().out.startswith("0 findings")
    study, key = load_study(built)
    public = (built / BLINDED / STUDY).read_text(encoding="utf-8")
    sources = [one.source for one in key.clips.values()]
    for secret in (*key.systems, "spoilt", "hidden-generator", str(key.seed), *sources):
        assert secret not in public
    assert study.prompts[next(iter(study.prompts))].text.startswith("noise & tone <script>")
    assert any(prompt.reference for prompt in study.prompts.values())
    assert any(prompt.lyrics for prompt in study.prompts.values())


def test_the_key_tells_what_each_file_is(built):
    study, key = load_study(built)
    kinds = Counter(one.kind for one in key.trials.values())
    assert kinds == {"pair": 4, "catch": 4, "identical": 3, "practice": 1}
    for name, one in key.clips.items():
        assert sha256_file(built / BLINDED / AUDIO / name) == one.sha256
        assert sha256_file(one.source) == one.source_sha256
        assert one.loudness <= -23 + 0.05
        assert one.peak <= -1 + 0.05
    for name, told in key.trials.items():
        trial = study.trials[name]
        if told.kind == "pair":
            assert told.first in key.clips[trial.first].systems
            assert told.second in key.clips[trial.second].systems
            assert {told.first, told.second} == {"best-of-three", "single"}
        if told.kind == "identical":
            assert trial.first == trial.second
        if told.kind == "catch":
            sides = dict(zip((told.first, told.second), (trial.first, trial.second), strict=True))
            assert key.clips[sides["clean"]].systems
            assert not key.clips[sides["spoilt"]].systems
            assert key.clips[sides["clean"]].source == key.clips[sides["spoilt"]].source


def test_the_best_of_three_is_what_the_reward_picks(built):
    _, key = load_study(built)
    pool = built.parent / "pool"
    scores = {}
    for line in (pool / "scores" / "loudness.jsonl").read_text().splitlines():
        row = json.loads(line)
        scores.setdefault(row["prompt_id"], {})[row["candidate"]] = row["scores"]["loudness"]
    chosen = {one.candidate for one in key.clips.values() if "best-of-three" in one.systems}
    best = {max(found, key=found.get) for found in scores.values()}
    assert chosen == best
    assert {one.candidate for one in key.clips.values() if one.systems == ["single"]} <= {0}


def test_clips_of_a_trial_are_equally_long_and_loud_and_files_equally_old(built):
    study, _ = load_study(built)
    files = list((built / BLINDED / AUDIO).iterdir())
    assert len({path.stat().st_mtime for path in files}) == 1
    assert {soundfile.info(path).samplerate for path in files} == {48_000}
    for trial in study.trials.values():
        assert study.clips[trial.first].seconds == study.clips[trial.second].seconds


def test_the_seed_decides_everything(tmp_path):
    make_pool(tmp_path, 3, 3)
    systems = f"a-one={tmp_path}/pool:3,a-two={tmp_path}/pool:1"

    def build(name, seed):
        main(Build(systems, tmp_path / name, seed=seed, **CHOSEN))
        files = filter(Path.is_file, (tmp_path / name / BLINDED).rglob("*"))
        return {path.name: path.read_bytes() for path in files}

    one, again, other, secret = build("1", 5), build("2", 5), build("3", 6), build("4", None)
    assert one == again
    assert not set(one) & set(other) - {STUDY}
    assert not set(one) & set(secret) - {STUDY}
    record = json.loads((tmp_path / "4" / "run.json").read_text())
    assert "seed" not in record["config"]
    assert json.loads((tmp_path / "4" / KEY).read_text())["seed"] > 0


@pytest.mark.slow
def test_the_papers_study_has_300_pairs_and_a_folder_of_ground_truth(tmp_path):
    made = make_pool(tmp_path, 52, 3)  # fewer candidates than the names say
    truth, pool = folder_of(made, 2, tmp_path / "recordings"), made.pool.folder
    rows = (truth / "metadata.jsonl").read_text().splitlines(keepends=True)
    (truth / "metadata.jsonl").write_text("".join(rows[:51]))  # one prompt has no recording
    systems = f"truth={truth},top-10={pool}:3,top-3={pool}:2,top-1={pool}:1"
    asked = f"--config {CONFIG} {systems} --output {tmp_path / 'study'} --seed 1 --sample_rate 16000"
    main(parse_command(Build, [*asked.split(), "--reward", "loudness", "--weights", "loudness"]))
    study, key = load_study(tmp_path / "study")
    pairs = Counter(frozenset((one.first, one.second)) for one in key.trials.values() if one.kind == "pair")
    assert len(study.prompts) == 50
    assert len(pairs) == 6
    assert set(pairs.values()) == {50}
    assert len(study.schedules) == 30
    assert {len(turns) for turns in study.schedules} == {60 + 2 + 2 + 1}
    assert not list(check._wrong_schedules(study, key))


def test_pairs_may_be_a_balanced_part(tmp_path):
    make_pool(tmp_path, 6, 3)
    folder = f"{tmp_path}/pool"
    systems = f"s-one={folder}:3,s-two={folder}:2,s-three={folder}:1,s-four={folder}"
    asked = {"pairs_per_prompt": 2, "trials_per_rater": 4, "sample": 6, "audio": "opus", **CHOSEN}
    main(Build(systems, tmp_path / "study", **asked))
    _, key = load_study(tmp_path / "study")
    pairs = Counter(frozenset((one.first, one.second)) for one in key.trials.values() if one.kind == "pair")
    assert set(pairs.values()) == {2}
    assert len(pairs) == 6
    assert not findings(tmp_path / "study")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda at, file: (at / "notes.txt").write_text("x"), "notes.txt does not belong there"),
        (lambda at, file: (at / AUDIO / "best-of-three.flac").write_bytes(b"x"), "holds 'best-of-three'"),
        (lambda at, file: file.unlink(), "is missing"),
        (lambda at, file: file.write_bytes(file.read_bytes() + b"BEST-of-three"), "holds 'best-of-three'"),
        (lambda at, file: file.write_bytes(file.read_bytes() + b"x"), "is not the file that the key"),
        (lambda at, file: file.touch(), "differ in their times"),
        (lambda at, file: _tag(file), "has the tag"),
        (lambda at, file: _halve(file), "LU apart"),
        (lambda at, file: _edit(at, lambda row: row["settings"].update(title="a single one")), "'single'"),
        (lambda at, file: shutil.rmtree(at / AUDIO), "audio is missing"),
        (lambda at, file: file.write_bytes(b""), "cannot be read"),
        (lambda at, file: _edit(at, lambda row: row["schedules"].extend(row["schedules"][:1] * 3)), "A is"),
    ],
)
def test_the_checker_finds(folder, spoil, expected):
    study = read_study(folder / BLINDED)
    file = folder / BLINDED / AUDIO / study.trials[study.schedules[0][0][0]].first
    spoil(folder / BLINDED, file)
    found = findings(folder)
    assert any(expected in one for one in found), found


def _tag(file):
    import mutagen

    audio = mutagen.File(file)
    audio["system"] = "x"
    audio.save()


def _halve(file):
    audio, rate = soundfile.read(file)
    soundfile.write(file, audio / 4, rate)


def _edit(folder, change):
    row = json.loads((folder / STUDY).read_text())
    change(row)
    (folder / STUDY).write_text(json.dumps(row))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one=POOL", "compares two systems or more"),
        ("one=POOL,two", "expected NAME=FOLDER"),
        ("one=POOL,One=POOL:2", "comes twice"),
        ("one=POOL,two=nowhere:3", "nowhere is not a folder"),
        ("one=POOL,two=POOL:0", "0 candidates"),
        ("one=POOL,../two=POOL:3", "expected NAME=FOLDER"),
    ],
)
def test_systems_that_cannot_be_used(tmp_path, text, expected):
    with pytest.raises(InputError, match=expected):
        parse_systems(text.replace("POOL", str(tmp_path)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sample": 9}, "only 4 prompts"),
        ({"systems": "tone={pool}:3,single={pool}:1"}, "holds 'tone'"),
        ({"systems": "spoilt={pool}:3,single={pool}:1"}, "another name"),
        ({"systems": "one={pool}:5,single={pool}:1"}, "one has 0, single has 4"),
        ({"consent": Path("nowhere.txt")}, "cannot read nowhere.txt"),
        ({"title": "Is a single one better?"}, "--title holds 'single'"),
        ({"weights": "musicality"}, "needs the metric 'musicality'"),
        ({"sample_rate": 48}, "--sample_rate must be from 8000 to 192000, got 48"),
        ({"sample_rate": 96_001}, "--sample_rate cannot be 96001 Hz, which FLAC does not hold"),
        ({"seconds": float("nan")}, "--seconds must be finite"),
        ({"loudness": float("-inf")}, "--loudness must be finite"),
        ({"audio": "wav"}, "must be one of flac, mp3, opus"),
        ({"seconds": 0.1}, "--seconds must be at least"),
        ({"loudness": 0.0}, "lie below --ceiling"),
        ({"loudness": -1000.0}, "--loudness -1000.0 must be at least -60"),
        ({"completion_code": "SINGLE-7"}, "--completion_code holds 'single'"),
        ({"raters": 0}, "--raters must be at least 1"),
        ({"catches": -1}, "--catches must not be negative"),
        ({"audio": "mp3", "sample_rate": 44100}, "needs --sample_rate 48000"),
    ],
)
def test_what_cannot_be_built_is_told_in_a_line(tmp_path, options, expected):
    if "systems" in options:
        options = {"systems": options["systems"].format(pool=tmp_path / "pool")}
    with pytest.raises(InputError, match=expected):
        build_study(tmp_path, **options)
    assert not (tmp_path / "study" / BLINDED / STUDY).exists()


@pytest.mark.parametrize(
    "names",
    [("one", "first"), ("clips", "reference"), ("study", "audio"), ("music", "answers"), ("flac", "opus")],
)
def test_words_of_every_study_tell_nothing_of_a_system(tmp_path, names):
    pool = make_pool(tmp_path, 2).pool.folder
    systems = f"{names[0]}={pool}:3,{names[1]}={pool}:1"
    main(Build(systems, tmp_path / "study", raters=1, sample_rate=16_000, catches=0, identicals=0, **CHOSEN))
    assert findings(tmp_path / "study") == []


def test_what_texts_reveal_is_told_before_anything_is_scored(tmp_path, monkeypatch):
    pool = make_pool(tmp_path, 2).pool.folder
    monkeypatch.setattr(
        "experiments.ab_test.building.build.load_composed", lambda options: pytest.fail("too late")
    )
    with pytest.raises(InputError, match="holds 'tone', the name of a system: give that another name"):
        main(Build(f"tone={pool}:3,single={pool}:1", tmp_path / "study", **CHOSEN))


def test_a_folder_that_prompts_name_is_told_when_the_study_is_built():
    systems = [System("one", Path("piano"), None), System("two", Path("."), None)]
    made = {"p": {"someone"}}
    refuse_revealing_texts(Build("one=a,two=b"), systems, [Prompt("p", "slow strings. and so on")], made)
    with pytest.raises(InputError, match="text of prompt 'p' holds 'piano', the folder of a system"):
        refuse_revealing_texts(Build("one=a,two=b"), systems, [Prompt("p", "slow piano")], made)


@pytest.mark.parametrize(
    ("part", "kind"), [("trials", "trial"), ("prompts", "prompt"), ("clips", "clip"), ("systems", "system")]
)
def test_a_key_that_is_not_whole_is_refused(folder, part, kind):
    key = json.loads((folder / KEY).read_text())
    heard = load_study(folder)[0].trials.values()
    lost = next(iter(heard)).first if part == "clips" else next(iter(key[part]))
    del key[part][lost]
    (folder / KEY).write_text(json.dumps(key))
    with pytest.raises(InputError, match=rf"key\.json lacks the {kind} '{lost}'"):
        load_study(folder)


def test_waveforms_may_be_hidden(tmp_path):
    study, _ = load_study(build_study(tmp_path, waveforms=False))
    assert not any(clip.outline for clip in study.clips.values())


def test_a_study_is_never_overwritten_and_leftovers_go(folder, tmp_path):
    make_pool(tmp_path, 4, 3)
    options = Build(f"best={tmp_path}/pool:3,single={tmp_path}/pool:1", folder, **CHOSEN)
    with pytest.raises(InputError, match="holds a study already"):
        main(options)
    (folder / BLINDED / STUDY).unlink()  # as if killed before the end
    main(options)
    assert not findings(folder)
