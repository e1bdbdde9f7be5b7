"""The command that tells better from better looking: end to end, taken up, and with other models added."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from music.clips import Clip, write_clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.scores import read_scores
from reward import load_scorer
from reward.protocol import are_independent, features_of
from rlhf.assess import Assess, assess, main
from rlhf.assessment.diversity import ClipEmbeddings, audio_files, load_encoders
from rlhf.guarded_reward import Guarded
from tests.rlhf.trained_models import STABLE_AUDIO, moved_model
from tests.tiny_clap import build_tiny_clap
from tests.web_pages import assert_balanced, assert_loads_nothing

TEXTS = ("piano", "drums", "bass", "flute", "slow", "fast", "low", "high", "loud", "x")


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return build_tiny_clap(tmp_path_factory.mktemp("clap") / "clap")


@pytest.fixture
def options(tiny, tmp_path, clap):
    (tmp_path / "prompts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    for seed in range(3):
        noise = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(seed))
        write_clip(tmp_path / "real" / f"{seed}.wav", Clip(0.1 * noise, 16_000))
    models = [
        moved_model(tiny, tmp_path / name / "model", size) for name, size in (("near", 0.02), ("far", 0.2))
    ]
    return Assess(
        models=",".join(map(str, models)),
        base=str(tiny),
        reward="loudness",
        weights="loudness=1",
        level=None,
        judges=f"constant,clap:{clap}",
        prompts=str(tmp_path / "prompts.txt"),
        n=2,
        best_of="2",
        encoders=f"clap:{clap}",
        real=tmp_path / "real",
        seconds=0.4,
        output=tmp_path / "out",
        device="cpu",
    )


@pytest.mark.parametrize("absent", ["trl", "a model"])
def test_what_is_missing_is_found_before_any_clip_is_made(options, monkeypatch, tmp_path, absent):
    if absent == "trl":
        monkeypatch.setitem(sys.modules, "trl", None)
        reason = r"a MusicGen needs trl, which is not installed: .*\[rlhf\]"
    else:
        options = replace(options, models=f"{options.models},other={tmp_path}/nowhere")
        reason = "nowhere"
    with pytest.raises(InputError, match=reason):
        main(options)
    assert not options.output.exists()


def test_a_real_clip_that_cannot_be_read_is_told_before_any_clip_is_made(options, tmp_path):
    (tmp_path / "bad").mkdir()
    for name in "ab":
        (tmp_path / "bad" / f"{name}.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"bad/.\.wav cannot be read"):
        main(replace(options, real=tmp_path / "bad"))
    assert not (options.output / "pools").exists()


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return {(row["model"], row["metric"], row["best_of"]): row for row in csv.DictReader(file)}


def test_a_model_is_measured_against_its_base_and_taken_up(options, tmp_path, capsys):
    main(options)
    rows = rows_of(options.output)
    assert list(dict.fromkeys(model for model, *_ in rows)) == ["base", "near", "far"]
    kinds = {row["metric"]: row["kind"] for row in rows.values()}
    assert kinds == {
        "reward": "proxy",
        "loudness": "proxy",
        "constant": "judge",
        "clap_similarity": "judge",
        "k3_per_code": "divergence",
        "k3_per_clip": "divergence",
        "vendi.clap": "diversity",
        "distance_within.clap": "diversity",
        "kad.clap": "diversity",
        **dict.fromkeys(("level", "true_peak", "silence", "flatness", "repetition"), "sound"),
    }
    gone = [float(rows[name, "k3_per_clip", "1"]["mean"]) for name in ("base", "near", "far")]
    assert gone[0] == 0 < gone[1] < gone[2]
    louder = rows["far", "loudness", "1"]
    assert float(louder["difference"]) == pytest.approx(
        float(louder["mean"]) - float(rows["base", "loudness", "1"]["mean"])
    )
    assert float(louder["difference_low"]) < float(louder["difference"]) < float(louder["difference_high"])
    assert (louder["prompts"], louder["clips"]) == ("10", "20")
    level = rows["base", "level", "1"]
    assert float(level["mean"]) == pytest.approx(float(rows["base", "loudness", "1"]["mean"]), abs=1e-3)
    assert float(rows["far", "reward", "2"]["mean"]) > float(rows["far", "reward", "1"]["mean"])
    assert 1 <= float(rows["far", "vendi.clap", "1"]["mean"]) <= 10
    page, table = ((options.output / name).read_text() for name in ("report.html", "table.md"))
    assert_loads_nothing(page)
    assert_balanced(page)
    assert page.count("<svg") == 4  # reward, its metric, two judges
    assert table in capsys.readouterr().out
    assert "| reward (proxy) |" in table
    assert (options.output / "frontier.png").stat().st_size > 5_000
    record = json.loads((options.output / "run.json").read_text())
    assert record["models"].keys() == {"near", "far"}
    assert record["prompts"]["count"] == 10
    kept = {path: path.stat().st_mtime_ns for path in options.output.rglob("*.*") if "pools" in str(path)}
    kept |= {path: path.stat().st_mtime_ns for path in (options.output / "embeddings").rglob("*.float64")}
    lines = assess(options, {"near": tmp_path / "near" / "model"})
    assert [line.row() for line in lines if line.best_of == 1 and line.model == "near"] == [
        {**row, **numbers(row)} for (model, _, n), row in rows.items() if (model, n) == ("near", "1")
    ]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # nothing was made or measured again


def test_standardised_models_are_compared_on_the_scale_of_the_base(options):
    plain = replace(options, judges="", encoders="", real=None, limit=3)
    main(plain)
    z_scores = replace(plain, reward="loudness,constant", weights="", standardise=True)
    main(replace(z_scores, output=options.output / "z"))
    before, after = rows_of(plain.output), rows_of(options.output / "z")
    assert float(after["base", "reward", "1"]["mean"]) == pytest.approx(0, abs=1e-9)
    pool = Pool(plain.output / "pools" / "base")
    table = read_scores(pool.folder)
    (levels,) = [
        [one["loudness"] for one in rows.values()] for (name, _), rows in table.items() if "loud" in name
    ]
    for model in ("near", "far"):
        moved = float(before[model, "reward", "1"]["difference"]) / np.std(levels)
        # equal shares of two scorers, of which one does not vary
        assert float(after[model, "reward", "1"]["difference"]) == pytest.approx(0.5 * moved, rel=1e-6)


def numbers(row):
    """Return what is written of a row as the numbers that they are."""
    found = {"best_of": int(row["best_of"]), "prompts": int(row["prompts"]), "clips": int(row["clips"])}
    for name in ("mean", "low", "high", "difference", "difference_low", "difference_high"):
        found[name] = float(row[name]) if row[name] else None
    return found


def test_the_same_prompt_and_candidate_have_the_same_noise(options, tmp_path, tiny):
    same = moved_model(tiny, tmp_path / "same" / "model", 0.0)
    lines = assess(replace(options, best_of="1", judges="", encoders="", real=None), {"same": same})
    moved = {line.metric.name: line.difference for line in lines if line.model == "same"}
    assert all(one.value == 0 for one in moved.values())


def test_a_stable_audio_has_a_divergence_of_its_own(options, tiny_stable_audio, tmp_path):
    model = moved_model(tiny_stable_audio, tmp_path / "sa" / "model", 0.05, STABLE_AUDIO)
    options = replace(options, base=str(tiny_stable_audio), sampling_steps=3, limit=3, judges="", encoders="")
    assess(replace(options, real=None), {"sa": model})
    rows = rows_of(options.output)
    assert float(rows["sa", "velocity_mse", "1"]["mean"]) > 0
    assert float(rows["base", "velocity_mse", "1"]["mean"]) == 0
    assert ("sa", "k3_per_clip", "1") not in rows
    assert "velocity_mse" in (options.output / "table.md").read_text()
    assert "not nats" in (options.output / "report.html").read_text()


def test_what_has_no_divergence_is_measured_without_one(options, tmp_path, tiny):
    main(replace(options, models=f"near={tmp_path / 'near' / 'model'}", judges="", encoders="", real=None))
    made = options.output / "pools" / "near"
    options = replace(options, output=tmp_path / "listed", judges="", encoders="", real=None)
    assess(options, {"listed": f"folder:{made}"})
    rows = rows_of(options.output)
    assert rows["listed", "reward", "1"]["difference"]
    assert ("listed", "k3_per_clip", "1") not in rows
    assert not (options.output / "frontier.png").exists()
    assert "have no divergence" in (options.output / "table.md").read_text()
    assert_balanced((options.output / "report.html").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "--n"),
        ({"best_of": "1,3"}, "--best_of must be numbers from 1 to --n 2"),
        ({"best_of": "few"}, "--best_of"),
        ({"seconds": -1.0}, "--seconds"),
        ({"encoders": "loudness"}, "--encoders needs joint embeddings"),
        ({"weights": "musicality=1"}, "musicality"),
        ({"prompts": "nowhere.txt"}, "nowhere.txt"),
        ({"models": "nowhere/model"}, "nowhere/model"),
    ],
)
def test_what_cannot_be_assessed_is_refused(options, changes, message):
    with pytest.raises(InputError, match=message):
        main(replace(options, **changes))


def test_a_folder_without_clips_is_no_set_of_real_ones(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="holds 0 audio files"):
        audio_files(tmp_path)


def test_embeddings_are_those_of_the_encoder_of_so_many_seconds(tmp_path, clap):
    (encoder,) = load_encoders(f"clap:{clap}", "cpu", "float32")
    wave = 0.1 * torch.randn(1, 32_000, generator=torch.Generator().manual_seed(0))
    write_clip(tmp_path / "a.wav", Clip(wave, 16_000))
    for seconds in (0.5, 1.0):
        found = ClipEmbeddings(tmp_path / "kept", encoder, seconds).embed(
            [tmp_path / "a.wav"] * 2, Processes()
        )
        clip = Clip(wave[:, : round(seconds * 16_000)], 16_000)
        assert found.shape[0] == 2
        assert found[0] == pytest.approx(encoder.embed_audio(clip).numpy(), abs=1e-4)
        assert np.array_equal(found[0], found[1])
    assert len(list((tmp_path / "kept").rglob("*.float64"))) == 2
    with pytest.raises(InputError, match="two are called clap"):
        load_encoders(f"clap:{clap},clap:{clap}", "cpu", "float32")


def test_an_encoder_may_come_from_anywhere(tmp_path, monkeypatch, clap):
    monkeypatch.setattr(sys, "path", [*sys.path])
    call = f"clap_similarity({str(clap)!r}, device, 'float32')"
    (tmp_path / "mine.py").write_text(
        f"from reward.baselines.clap import clap_similarity\ndef heard(device): return {call}"
    )
    (encoder,) = load_encoders(f"{tmp_path}/mine.py:heard", "cpu", "float32")
    assert encoder.name == load_encoders(f"clap:{clap}", "cpu", "float32")[0].name


def test_scorers_that_share_features_are_not_independent(clap):
    reward, mulan = (load_scorer(name, "cpu") for name in ("lab-cmi-rm", "mulan:lab-mulan"))
    loud, other = load_scorer("loudness"), load_scorer(f"clap:{clap}", "cpu")
    assert not are_independent(Guarded(reward), mulan)
    assert not are_independent(Guarded(loud), loud)  # of the same kind
    assert not are_independent(load_scorer("first10:lab-cmi-rm", "cpu"), mulan)
    assert not are_independent(load_scorer("mean:loudness+loudness"), loud)
    assert are_independent(reward, other)
    assert are_independent(reward, loud)
    assert features_of(reward) == ("MuQ",)
