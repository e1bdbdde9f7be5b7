"""Parts of the towers that learn: which ones, and that all that holds for a head holds for them."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from music.errors import InputError
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.checkpoint import load_towers
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.tuning import Tuning, merged_weights, unfreeze
from reward.judgements import load_judgements
from reward.train import main
from reward.training.config import TrainConfig
from reward.training.embeddings import EmbeddingStore, audio_keys, text_key
from reward.training.live_frames import LiveFrames
from tests.reward.training_runs import curve, die_at, read_log, train_in_two_processes

LORA, MUQ = "text_module.model.encoder.layer.", "audio_module.model.model.conformer.layers.1."
#: settings, and beginnings of the names of what they change
TUNINGS = {
    "transformer": ({"text_encoder_tune": "transformer"}, ("text_module.transformer.",)),
    "all": (
        {"text_encoder_tune": "all"},
        tuple(
            f"text_module.{part}" for part in ("transformer.", "model.embeddings.", "model.encoder.", "proj")
        ),
    ),
    "lora": ({"lora_r": 2, "lora_dropout": 0.2}, (LORA,)),
    "muq": ({"train_muq_depth": 1}, (MUQ,)),
    "both": ({"lora_r": 2, "train_muq_depth": 1}, (LORA, MUQ)),
}
SHORT = {"tower_learning_rate": 1e-2, "dropout": 0.1, "steps": 6, "evaluate_every": 3}


@pytest.fixture(params=TUNINGS)
def tuned(request, mixed):
    """Return a config with parts of the towers that learn fast, and the names of these parts."""
    settings, names = TUNINGS[request.param]
    return dataclasses.replace(mixed, **SHORT, **settings), names


def saved(config):
    return load_file(f"{config.output}/model.safetensors")


def test_what_learns_is_saved_whole_and_the_rest_stays(tuned, towers, capsys):
    config, names = tuned
    main(config)
    found, before = saved(config), towers.state_dict()
    assert before.keys() <= found.keys()
    changed = {name for name in before if not torch.equal(found[name], before[name])}
    assert all(name.startswith(names) for name in changed)
    assert all(any(name.startswith(part) for name in changed) for part in names)
    assert not any("lora" in name for name in found)
    fields = yaml.safe_load(Path(config.output, "config.yaml").read_text())["model"]
    assert fields.get("train_muq_depth", 0) == config.train_muq_depth
    assert fields.get("text_encoder", {}).get("tune", "") == config.text_encoder_tune
    scorer = load_scorer(config.output, device="cpu")
    rows = [row for row in load_judgements(config.validation) if hasattr(row, "audio_a")]
    scores = scorer.score(
        [ScoreRequest(path, row.prompt) for row in rows for path in (row.audio_a, row.audio_b)]
    )
    gaps = [a["musicality"] - b["musicality"] for a, b in zip(scores[::2], scores[1::2], strict=True)]
    right = sum((gap > 0) == (row.musicality == "a") for gap, row in zip(gaps, rows, strict=True))
    best = min(
        (row["validation"] for row in read_log(config) if "validation" in row), key=lambda x: x["loss"]
    )
    assert right / len(rows) == best["musicality"]["accuracy"]


@pytest.mark.parametrize("tuned", ["all", "both"], indirect=True)
def test_it_begins_as_with_frozen_towers(tuned, mixed, tmp_path):
    config, _ = tuned
    first = dataclasses.replace(config, steps=1, lora_dropout=0.0)
    frozen = dataclasses.replace(mixed, steps=1, dropout=0.1, output=str(tmp_path / "frozen"))
    main(first)
    main(frozen)
    torch.testing.assert_close(curve(first), curve(frozen), atol=1e-5, rtol=0)


@pytest.mark.parametrize("tuned", ["both"], indirect=True)
def test_killed_it_resumes_to_the_bit(tuned, tmp_path):
    config, _ = tuned
    main(config)
    again = dataclasses.replace(config, output=str(tmp_path / "killed"))
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            main(again)
    main(again)
    whole, found = saved(config), saved(again)
    assert whole.keys() == found.keys()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


@pytest.mark.slow
def test_parts_and_processes_change_nothing(mixed, tmp_path):
    settings, _ = TUNINGS["both"]
    config = dataclasses.replace(mixed, **SHORT, **{**settings, "lora_dropout": 0.2})
    main(config)
    parts = dataclasses.replace(config, gradient_accumulation_steps=3, output=str(tmp_path / "parts"))
    main(parts)
    torch.testing.assert_close(curve(parts), curve(config), atol=1e-4, rtol=0)
    two = dataclasses.replace(config, output=str(tmp_path / "two"))
    train_in_two_processes(two)
    torch.testing.assert_close(curve(two), curve(config), atol=1e-4, rtol=0)
    one, other = saved(config), saved(two)
    assert all(torch.allclose(other[name], one[name], atol=1e-3, rtol=0) for name in one)


def test_a_second_stage_goes_on_with_the_towers_of_the_first(mixed, tmp_path):
    first = dataclasses.replace(mixed, train_muq_depth=1, tower_learning_rate=1e-2)
    main(first)
    second = dataclasses.replace(
        mixed, init_from=first.output, output=str(tmp_path / "second"), steps=1, learning_rate=1e-9
    )
    main(second)
    one, two = saved(first), saved(second)
    assert one.keys() == two.keys()
    towers = [name for name in one if name.startswith(("audio_module.", "text_module."))]
    assert all(torch.equal(two[name], one[name]) for name in towers)


def test_updates_begin_at_nothing(scoring):
    towers = load_towers(str(scoring / "mulan-tiny"), Locator())
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    learning = unfreeze(towers, Tuning(lora_r=3, lora_target_modules=("query", "dense")), 0)
    assert learning
    assert all(min(one.shape) == 3 for one in learning)
    merged = merged_weights(towers)
    assert merged.keys() == before.keys()
    assert all(torch.equal(merged[name], before[name]) for name in before)


def test_lengths_are_told_without_encoding(mixed, scoring):
    towers = load_towers(str(scoring / "mulan-tiny"), Locator(), max_seconds=0.8)
    rows = load_judgements(mixed.train)
    keys = audio_keys([path for row in rows for path in row.audio])
    sources = {key: path for path, key in keys.items()} | {text_key(text): text for text in ("", "two words")}
    frames = LiveFrames(EmbeddingStore(mixed.output, "x"), towers, sources)
    with torch.no_grad():
        for key in sources:
            exact = len(frames.get(key))
            assert exact <= frames.length(key) <= exact + 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_muq_depth": 99}, "this MuQ has"),
        ({"lora_r": 2, "lora_target_modules": "nowhere"}, "--lora_target_modules nowhere"),
        ({"lora_r": 2, "lora_target_modules": "query,vaule"}, "no matrix is called 'vaule'"),
    ],
)
def test_what_the_towers_do_not_have_is_refused(mixed, settings, message):
    with pytest.raises(InputError, match=message):
        main(dataclasses.replace(mixed, **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text_encoder_tune": "some"}, "transformer or all"),
        ({"text_encoder_tune": "all", "lora_r": 2}, "exclude each other"),
        ({"lora_r": -1}, "at least 0"),
        ({"lora_dropout": 1.0}, "must lie in"),
        ({"lora_r": 2, "lora_alpha": 0}, "must be above 0"),
        ({"tower_learning_rate": 0.0}, "must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        TrainConfig("a", "b", "c", **settings)
