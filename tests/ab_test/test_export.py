"""Exports: votes as training data that really train, and studies as other tools read them."""

import json
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from experiments.ab_test.analysis import export
from experiments.ab_test.analysis.agreement import scorer_agreement
from experiments.ab_test.analysis.export import PREFERENCES, VALIDATION, Export
from experiments.ab_test.analysis.screening import Limits
from experiments.ab_test.analysis.votes import ANSWERS, load_votes
from experiments.ab_test.building.build import main as build
from experiments.ab_test.building.config import Build
from experiments.ab_test.study import AUDIO, BLINDED, load_study
from music.clips import Clip, write_clip
from music.errors import InputError
from music.jsonl import dump_line
from reward.judgements import load_preferences
from tests.ab_test.simulated_answers import ONE, THREE, TWO, answer_rows
from tests.ab_test.small_study import build_study
from tests.small_files import small_files

TRUTH = {ONE: 6.0, TWO: 0.0, THREE: -6.0}


@pytest.fixture
def answered(three_systems, tmp_path):
    study, key = load_study(three_systems)
    path = tmp_path / ANSWERS
    path.write_text("".join(map(dump_line, answer_rows(study, key, TRUTH, 6, careless=1, side="b"))))
    return path


def preferences(three_systems, answered, output, **options):
    export.main(Export(three_systems, "preferences", output, answers=answered, **options))
    return [load_preferences(output / name) for name in (PREFERENCES, VALIDATION)]


def test_votes_become_preferences(three_systems, answered, tmp_path):
    study, key = load_study(three_systems)
    train, held = preferences(three_systems, answered, tmp_path / "out", validation=0.25)
    assert len(train) + len(held) == 5 * 36  # of the raters who can be believed, without repeats and checks
    prompts = [{row.prompt.facts["prompt_id"] for row in rows} for rows in (train, held)]
    assert not prompts[0] & prompts[1]
    assert (len(prompts[0]), len(prompts[1])) == (9, 3)
    assert not {path for row in train for path in row.audio} & {path for row in held for path in row.audio}
    strengths = []
    for row in train:
        facts = row.prompt.facts
        for path, system in ((row.audio_a, facts["system_a"]), (row.audio_b, facts["system_b"])):
            assert key.clips[path.name].systems == [system]
        strengths.append(TRUTH[facts["system_a"]] > TRUTH[facts["system_b"]])
        assert 1 <= row.confidence_musicality <= 5
        assert row.prompt.text in {prompt.text for prompt in study.prompts.values()}
    right = [(row.musicality == "a") == better for row, better in zip(train, strengths, strict=True)]
    assert sum(right) / len(right) > 0.95
    assert any(strengths)
    assert not all(strengths)


def test_the_split_is_a_function_of_its_seed(three_systems, answered, tmp_path):
    def held(seed):
        rows = preferences(three_systems, answered, tmp_path / str(seed), seed=seed)[1]
        return {row.prompt.facts["prompt_id"] for row in rows}

    assert held(1) == held(1)
    assert len({frozenset(held(seed)) for seed in range(5)}) > 1


@pytest.fixture(scope="module")
def tones_and_noise(tmp_path_factory):
    """Return a study of tones against noise, for ten prompts."""
    folder = tmp_path_factory.mktemp("tones")
    stream = torch.Generator().manual_seed(0)
    time = torch.arange(16_000) / 16_000
    prompts = [{"id": f"p{number}", "text": f"a piece of music, number {number}"} for number in range(10)]
    (folder / "prompts.jsonl").write_text("".join(map(dump_line, prompts)))
    for system in (ONE, TWO):
        rows = []
        for number, prompt in enumerate(prompts):
            tone = torch.sin(2 * torch.pi * (200 + 40 * number) * time)
            wave = tone if system == ONE else torch.randn(16_000, generator=stream)
            write_clip(folder / system / f"{number}.flac", Clip(0.2 * wave[None], 16_000))
            rows.append({"file_name": f"{number}.flac", "prompt_id": prompt["id"]})
        (folder / system / "metadata.jsonl").write_text("".join(map(dump_line, rows)))
    systems = f"{ONE}={folder / ONE},{TWO}={folder / TWO}"
    build(Build(systems, folder / "study", prompts=str(folder / "prompts.jsonl"), seed=99_999_999, raters=6))
    return folder / "study"


def test_a_study_trains_a_reward_model_that_hears_what_the_raters_heard(tones_and_noise, tmp_path, capsys):
    from reward import load_scorer
    from reward.train import main
    from reward.training.config import TrainConfig

    study, key = load_study(tones_and_noise)
    answers = tmp_path / ANSWERS
    answers.write_text("".join(map(dump_line, answer_rows(study, key, {ONE: 2.5, TWO: 0.0}, 6))))
    _, held = preferences(tones_and_noise, answers, tmp_path / "out", validation=0.3)
    config = TrainConfig(
        str(tmp_path / "out" / PREFERENCES), str(tmp_path / "out" / VALIDATION), str(tmp_path / "model"),
        steps=30, batch_size=16, evaluate_every=10, warmup_steps=5, learning_rate=3e-4, device="cpu",
    )  # fmt: skip
    assert main(config) == 0
    capsys.readouterr()
    scorer = load_scorer(tmp_path / "model", device="cpu")
    unseen = {row.prompt.facts["prompt_id"] for row in held}
    votes, _ = load_votes(tones_and_noise, answers, study, key)
    votes = [vote for vote in votes if vote.prompt in unseen]
    found = scorer_agreement([scorer], votes, tones_and_noise, study, key, seed=0)
    accuracies = {(one.metric, one.head, one.confidence): one.accuracy for one in found}
    accuracy = accuracies["musicality", "musicality", "all"]
    tones = [row.musicality == ("a" if row.prompt.facts["system_a"] == ONE else "b") for row in held]
    assert accuracy.rows == len([row for row in held if row.musicality != "tie"])
    assert accuracy.value > 0.8  # as often as the raters themselves preferred the tone
    assert accuracy.value == pytest.approx(sum(tones) / accuracy.rows, abs=0.1)


def test_webmushra_gets_a_page_for_each_question(tmp_path):
    folder = build_study(tmp_path)
    study, key = load_study(folder)
    export.main(Export(folder, "webmushra", tmp_path / "out"))
    config = yaml.safe_load((tmp_path / "out" / "configs" / f"{study.id}.yaml").read_text(encoding="utf-8"))
    shuffled = next(page for page in config["pages"] if isinstance(page, list))
    assert shuffled[0] == "random"
    pages = shuffled[1:]
    differ = [name for name, one in key.trials.items()
              if one.kind == "pair" and study.trials[name].first != study.trials[name].second]  # fmt: skip
    assert sorted(page["id"] for page in pages) == sorted(
        f"{name}-{head}" for name in differ for head in ("alignment", "musicality")
    )
    for page in pages:
        trial = study.trials[page["id"].split("-")[0]]
        assert {f"{name}.flac" for name in page["stimuli"]} == {trial.first, trial.second}
        for path in page["stimuli"].values():
            assert soundfile.info(tmp_path / "out" / path).format == "WAV"
        assert "&lt;script&gt;" in page["content"]
        assert "<script" not in page["content"]
    assert config["pages"][0]["type"] == "generic"
    assert (tmp_path / "out" / config["pages"][1]["stimulus"]).is_file()
    assert config["pages"][-1]["type"] == "finish"
    text = (tmp_path / "out" / "configs" / f"{study.id}.yaml").read_text(encoding="utf-8")
    assert not any(system in text for system in key.systems)
    # webMUSHRA's own parser of YAML reads JSON on one line, and little else that is nested
    assert json.loads(text) == config
    assert text.count("\n") == 1


@pytest.mark.parametrize("tool", ["webmushra", "listen-and-rate"])
def test_a_full_disk_leaves_no_short_clips_to_the_next_run(three_systems, tmp_path, tool):
    def clips(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.wav")}

    export.main(Export(three_systems, tool, tmp_path / "whole"))
    whole = clips(tmp_path / "whole")
    with pytest.raises(InputError, match="cannot write"), small_files(min(map(len, whole.values())) // 2):
        export.main(Export(three_systems, tool, tmp_path / "out"))
    assert clips(tmp_path / "out") == {}
    short = tmp_path / "out" / next(iter(whole))
    short.parent.mkdir(parents=True, exist_ok=True)
    short.write_bytes(b"RIFF")  # as earlier versions have left it
    export.main(Export(three_systems, tool, tmp_path / "out"))
    assert clips(tmp_path / "out") == whole


def test_listen_and_rate_gets_a_test_for_each_two_systems(three_systems, tmp_path):
    _study, key = load_study(three_systems)
    export.main(Export(three_systems, "listen-and-rate", tmp_path / "out"))
    tests = sorted((tmp_path / "out").iterdir())
    assert len(tests) == 3
    for test in tests:
        config = yaml.safe_load((test / "config.yaml").read_text())
        assert config["test_type"] == "ab"
        systems = config["stimuli_dirs"]["systems"]
        names = [sorted(path.name for path in (test / one["path"]).iterdir()) for one in systems]
        assert names[0] == names[1]
        assert len(names[0]) == 12
        for one in systems:
            heard = {soundfile.read(path)[0].tobytes() for path in (test / one["path"]).iterdir()}
            own = [name for name, clip in key.clips.items() if clip.systems == [one["system"]]]
            kept = {soundfile.read(three_systems / BLINDED / AUDIO / name)[0].tobytes() for name in own}
            assert heard == kept


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"to": "csv"}, "--to must be one of answers, preferences"),
        ({"to": "preferences", "validation": 1.0}, "--validation must lie"),
        ({"to": "preferences", "screening": Limits(seconds=99.0)}, "no vote on a pair"),
        ({"to": "answers"}, "there is no database"),
        ({"to": "answers", "database": "nonsense"}, "--database must be an address"),
        ({"to": "answers", "database": "nosuch://x"}, "the database cannot be opened"),
    ],
)
def test_what_cannot_be_exported(three_systems, answered, options, expected):
    with pytest.raises(InputError, match=expected):
        export.main(Export(Path(three_systems), answers=answered, **options))
