"""Training: it learns, resumes to the bit, and saves what load_scorer loads."""

import dataclasses
import json
import os
import shutil
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.utils import LoggerType
from PIL import Image
from safetensors.torch import load_file

from music.errors import InputError
from music.optional_libraries import check_tracker
from reward import ScoreRequest, embed, load_scorer, train_curves
from reward.cmi_rm.checkpoint import save_checkpoint
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.judgements import audio_of, load_judgements, load_preferences, texts_of
from reward.train import main
from reward.training.batches import JudgementData
from reward.training.embeddings import EmbeddingStore, audio_keys, fill_store
from reward.training.objective import KINDS, BatchModel, Objective, RatingMap
from reward.training.trainer import Trainer
from reward.training.validation import scores_of, validate
from tests.reward.training_runs import curve, die_at, read_log, train_in_two_processes, write_rows


@pytest.fixture
def data(config, towers):
    """Return the training pairs with their tower outputs."""
    rows = load_preferences(config.train)
    keys = audio_keys(audio_of(rows))
    store = EmbeddingStore(config.embeddings, towers.hash)
    fill_store(store, towers, keys, texts_of(rows))
    return JudgementData(rows, store, keys, 0.2)


def test_it_learns_and_saves_a_scorer(config, pairs, noise, capsys):
    assert main(dataclasses.replace(config, steps=40, evaluate_every=20)) == 0
    steps = [row for row in read_log(config) if "validation" not in row]
    assert len(steps) == 40
    assert sum(row["musicality"] for row in steps[-5:]) < 0.7 * sum(row["musicality"] for row in steps[:5])
    told = json.loads(capsys.readouterr().out)["validation"]
    assert told["musicality"]["accuracy"] == 1.0
    assert 0.5 < told["musicality"]["low"] < told["musicality"]["high"] <= 1
    assert told["alignment"]["pairs"] == 6  # ties and missing labels are left out
    scorer = load_scorer(config.output, device="cpu")
    rows = load_preferences(config.validation)
    scores = scorer.score([ScoreRequest(path, row.prompt) for row in rows for path in row.audio])
    better = [a["musicality"] > b["musicality"] for a, b in zip(scores[::2], scores[1::2], strict=True)]
    assert better == [row.musicality == "a" for row in rows]
    assert json.loads((pairs.parent / config.output / "run.json").read_text())["towers"] == scorer.towers.hash


def test_training_from_embeddings_made_before_is_that_from_audio(config, tmp_path, capsys):
    """`reward.embed` writes what training would, so training then encodes nothing and ends with the same weights."""
    made = tmp_path / "made"
    embed.main(embed.Embed([Path(config.train), Path(config.validation)], made, config.towers, device="cpu"))
    told = json.loads(capsys.readouterr().out)
    assert told["audio_hours"] == told["new_audio_hours"] > 0
    written = sorted(made.rglob("*.safetensors"))
    both = [
        dataclasses.replace(config, output=str(tmp_path / "audio"), embeddings=""),
        dataclasses.replace(config, output=str(tmp_path / "cached"), embeddings=str(made)),
    ]
    for one in both:
        main(one)
    assert sorted(made.rglob("*.safetensors")) == written
    audio, cached = (load_file(f"{one.output}/model.safetensors") for one in both)
    assert audio.keys() == cached.keys()
    assert all(torch.equal(audio[name], cached[name]) for name in audio)
    capsys.readouterr()
    embed.main(embed.Embed([Path(config.train)], made, config.towers, device="cpu"))
    assert json.loads(capsys.readouterr().out)["new_audio_hours"] == 0


@pytest.mark.parametrize("rating_map", KINDS)
def test_it_learns_from_ratings_beside_preferences(mixed, rating_map):
    main(dataclasses.replace(mixed, steps=40, evaluate_every=20, rating_map=rating_map))
    found = [row["validation"] for row in read_log(mixed) if "validation" in row][-1]
    assert (found["musicality"]["pairs"], found["musicality"]["rated"]) == (6, 6)
    assert (found["alignment"]["pairs"], found["alignment"]["rated"]) == (3, 2)
    assert found["musicality"]["accuracy"] == 1.0
    assert found["musicality"]["srcc"] > 0.8
    assert found["alignment"]["srcc"] is None  # all ratings are the same
    saved = load_file(f"{mixed.output}/model.safetensors")
    assert not [name for name in saved if "ratings" in name or "slope" in name], "the map is left behind"
    load_scorer(mixed.output, device="cpu")


@torch.no_grad()
def test_a_rating_is_of_the_score_that_its_clip_has_in_a_pair(mixed, config, data, towers):
    head = RewardHead(config.head(24, "x")).eval()
    both = JudgementData(load_judgements(mixed.train), data._store, data._keys, 0.2)
    differences, scores = scores_of(head, both, 5)
    assert (len(differences), len(scores)) == (12, 12)
    plain = BatchModel(head)(data.batch(range(24))).unflatten(0, (2, -1))
    place = {row.id: index for index, row in enumerate(data.rows)}
    for row, score in zip(both.rated, scores, strict=True):
        torch.testing.assert_close(score, plain[0, place[row.id.removeprefix("rated-")]], atol=1e-5, rtol=0)
    for row, difference in zip(both.preferences, differences, strict=True):
        a, b = plain[:, place[row.id]]
        torch.testing.assert_close(difference, a - b, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_hidden_follows_its_row(mixed, config, data):
    head = RewardHead(config.head(24, "x")).eval()
    rows = load_judgements(mixed.train)
    both = JudgementData(rows, data._store, data._keys, 0.2)
    chosen = [3, 0, 4, 1]  # ratings, preferences: a batch has the preferences first
    hidden = torch.zeros(4, 3, dtype=torch.bool)
    hidden[0, 0] = True  # the text of row 3
    seen, unseen = (BatchModel(head)(both.batch(chosen, drops)) for drops in (None, hidden))
    assert ((seen - unseen).abs().amax(dim=1) > 1e-6).tolist() == [False] * 4 + [True, False]


def test_a_second_stage_starts_from_the_first(config, mixed, tmp_path):
    main(config)
    second = dataclasses.replace(
        mixed, init_from=config.output, output=str(tmp_path / "two"), steps=1, learning_rate=1e-9
    )
    main(second)
    one, two = (load_file(f"{folder}/model.safetensors") for folder in (config.output, second.output))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-7, rtol=0)
    with pytest.raises(InputError, match=r"holds a head of another shape: .*heads is 2, not 4"):
        main(dataclasses.replace(second, output=str(tmp_path / "other"), heads=4))
    main(dataclasses.replace(config, output=str(tmp_path / "third"), seed=1))
    with pytest.raises(InputError, match=r"other settings \(init_from was"):
        main(dataclasses.replace(second, init_from=str(tmp_path / "third")))


def test_a_signal_ends_a_step_and_the_next_run_goes_on_from_there(mixed, tmp_path, monkeypatch):
    config = dataclasses.replace(mixed, steps=6, checkpoint_every=100, output=str(tmp_path / "whole"))
    main(config)
    stopped = dataclasses.replace(config, output=str(tmp_path / "stopped"))
    step, taken = Trainer._step, []

    def step_and_signal(trainer, data):
        taken.append(trainer.state.step)
        if taken == [0, 1, 2]:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, data)

    monkeypatch.setattr(Trainer, "_step", step_and_signal)
    with pytest.raises(KeyboardInterrupt, match="the state after step 3 of 6 is saved"):
        main(stopped)
    main(stopped)
    assert taken == [*range(6)]
    whole, again = (load_file(f"{one.output}/model.safetensors") for one in (config, stopped))
    assert all(torch.equal(again[key], whole[key]) for key in whole)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_killed_at_any_step_it_resumes_to_the_bit(mixed, tmp_path, dropout):
    config = dataclasses.replace(mixed, dropout=dropout)
    main(config)
    whole = load_file(f"{config.output}/model.safetensors")
    state = torch.load(f"{config.output}/training.pt", weights_only=True)
    losses = [row.get("musicality") for row in read_log(config)]
    for call in (2, 6, 11):
        again = dataclasses.replace(config, output=str(tmp_path / f"killed-{call}"))
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, call)
            with pytest.raises(KeyboardInterrupt):
                main(again)
        main(again)
        found = load_file(f"{again.output}/model.safetensors")
        assert all(torch.equal(found[key], whole[key]) for key in whole)
        resumed = torch.load(f"{again.output}/training.pt", weights_only=True)["model"]
        assert all(torch.equal(resumed[key], value) for key, value in state["model"].items())
        assert [row.get("musicality") for row in read_log(again)] == losses


@pytest.mark.slow
def test_two_processes_learn_the_same(mixed, tmp_path):
    """Noise belongs to rows, so the curve is that of one process whatever is dropped."""
    config = dataclasses.replace(mixed, dropout=0.2)
    main(config)
    other = dataclasses.replace(config, output=str(tmp_path / "two"))
    train_in_two_processes(other)
    torch.testing.assert_close(curve(other), curve(config), atol=1e-4, rtol=0)
    one, two = (load_file(f"{folder}/model.safetensors") for folder in (config.output, other.output))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradients_summed_over_parts_are_those_of_the_whole(mixed, tmp_path, dropout):
    """Parts hold prompts of like length, padded to their own longest where no noise depends on padding."""
    config = dataclasses.replace(mixed, dropout=dropout)
    main(config)
    parts = dataclasses.replace(config, gradient_accumulation_steps=3, output=str(tmp_path / "parts"))
    main(parts)
    torch.testing.assert_close(curve(parts), curve(config), atol=1e-4, rtol=0)


def test_bfloat16_learns_too(config):
    main(dataclasses.replace(config, mixed_precision="bf16", steps=40, evaluate_every=20))
    found = [row["validation"] for row in read_log(config) if "validation" in row][-1]
    assert found["musicality"]["accuracy"] == 1.0
    saved = load_file(f"{config.output}/model.safetensors")
    assert all(value.dtype == torch.float32 for value in saved.values())


def test_curves_go_to_a_picture_and_to_the_tracker(config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracked = dataclasses.replace(config, tracker="tensorboard")
    main(tracked)
    folder = next(path.parent for path in Path(config.output).rglob("events.out.tfevents*"))
    events = EventAccumulator(str(folder))
    events.Reload()
    losses = [event.value for event in events.Scalars("train/musicality")]
    assert losses == pytest.approx(curve(config)[:, 0].tolist())
    assert [event.step for event in events.Scalars("validation/alignment/ece")] == [4, 8, 12]
    with Image.open(f"{config.output}/curves.png") as picture:
        assert picture.size[0] > 1000
    train_curves.main(train_curves.DrawCurves([Path(config.output)] * 2, tmp_path / "both.png"))
    assert (tmp_path / "both.png").stat().st_size > 10_000
    with pytest.raises(InputError, match=r"no output of reward\.train"):
        train_curves.draw_curves([tmp_path], tmp_path / "none.png")


def test_curves_lie_beside_the_log_by_default(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    row = {"step": 1, "musicality": 0.5, "alignment": 0.5}
    (tmp_path / "run" / "log.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.chdir(tmp_path)
    train_curves.main(train_curves.DrawCurves([Path("run")]))
    assert capsys.readouterr().out == "run/curves.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_tracker_writes_below_the_output(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [LoggerType.WANDB])
    monkeypatch.setenv("WANDB_DIR", "")
    monkeypatch.delenv("WANDB_DIR")
    check_tracker("wandb", tmp_path / "out")
    assert Path(os.environ["WANDB_DIR"]) == tmp_path / "out" / "tracker"
    assert (tmp_path / "out" / "tracker").is_dir()  # a folder that is missing is not used


def test_a_tracker_that_is_not_installed_is_refused(config, monkeypatch):
    assert dataclasses.replace(config, tracker="").tracker == "none"  # as it was once called
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(InputError, match="--tracker wandb is not installed: pip install wandb"):
        main(dataclasses.replace(config, tracker="wandb"))


def test_files_are_mixed_by_weight(config, mixed):
    """A second file counts like rows of the first."""
    both = dataclasses.replace(config, train=f"{config.train}:0.5,{mixed.train}:2")
    main(both)
    assert len(curve(both)) == config.steps
    with pytest.raises(InputError, match="other settings"):
        main(dataclasses.replace(both, train=f"{config.train}:1,{mixed.train}:2"))
    with pytest.raises(InputError, match=r"at a weight of 0\.001 are none"):
        main(dataclasses.replace(both, train=f"{config.train}:0.001"))


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(config):
    main(config)
    before = (load_file(f"{config.output}/model.safetensors"), read_log(config))
    main(config)
    after = (load_file(f"{config.output}/model.safetensors"), read_log(config))
    assert all(torch.equal(after[0][key], value) for key, value in before[0].items())
    assert after[1] == before[1]
    with pytest.raises(InputError, match=r"other settings \(learning_rate was 0.003, is 0.1\)"):
        main(dataclasses.replace(config, learning_rate=0.1))


def test_patience_ends_training_with_the_best_model(config, monkeypatch):
    losses = iter([0.5, 0.4, 0.6, 0.45, 0.3])
    right = {"accuracy": 0.5, "low": 0.4, "high": 0.6}
    monkeypatch.setattr(
        "reward.training.trainer.validate",
        lambda *_: {"loss": next(losses), "musicality": right, "alignment": right},
    )
    main(dataclasses.replace(config, steps=100, evaluate_every=2, patience=2))
    state = torch.load(f"{config.output}/training.pt", weights_only=True)
    assert (state["step"], state["best_step"], state["stopped"]) == (8, 4, True)


def test_the_saved_config_names_the_towers_from_its_own_place(config, scoring):
    def named(**changes):
        main(dataclasses.replace(config, steps=1, **changes))
        return yaml.safe_load(Path(config.output, "config.yaml").read_text())["model"]["model_name"]

    assert (Path(config.output).parent / named()).resolve() == (scoring / "mulan-tiny").resolve()
    shutil.rmtree(config.output)
    assert named(model_name="mulan-tiny") == "mulan-tiny"


def test_rows_are_read_before_the_towers(config, tmp_path):
    bad = write_rows(tmp_path / "bad.jsonl", [{"id": "1", "text": "calm \ud83d"}])
    for name in ("train", "validation"):
        with pytest.raises(InputError, match=r"bad\.jsonl line 1: holds half a Unicode"):
            main(dataclasses.replace(config, towers="no/such/towers", **{name: str(bad)}))


def test_validation_must_not_share_audio(config):
    with pytest.raises(InputError, match="the audio of row '1-0' is also in"):
        main(dataclasses.replace(config, validation=config.train))


@torch.no_grad()
def test_padding_in_a_batch_changes_nothing(config, data):
    head = RewardHead(config.head(24, "x")).eval()
    together = scores_of(head, data, 24)[0]
    alone = scores_of(head, data, 1)[0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_training_and_inference_see_the_same_scores(config, data, towers, scoring, tmp_path):
    head = RewardHead(config.head(24, str(scoring / "mulan-tiny"))).eval()
    save_checkpoint(tmp_path / "head", head.config, head)
    scores = BatchModel(head)(data.batch([0, 1, 5])).unflatten(0, (2, -1))
    scorer = load_scorer(tmp_path / "head", device="cpu")
    for position, index in enumerate([0, 1, 5]):
        row = data.rows[index]
        for side, path in enumerate(row.audio):
            (found,) = scorer.score([ScoreRequest(path, row.prompt)])
            for head, column in COLUMNS.items():
                assert found[head] == pytest.approx(scores[side, position, column].item(), abs=1e-5)


@torch.no_grad()
def test_a_swapped_pair_has_the_opposite_difference(config, data):
    head = RewardHead(config.head(24, "x")).eval()
    before = scores_of(head, data, 24)[0]
    data.rows = [dataclasses.replace(row, audio_a=row.audio_b, audio_b=row.audio_a) for row in data.rows]
    torch.testing.assert_close(torch.sigmoid(scores_of(head, data, 24)[0]), 1 - torch.sigmoid(before))


def test_a_constant_head_is_right_half_of_the_time(config, data):
    head = RewardHead(config.head(24, "x"))
    torch.nn.init.zeros_(head.score_projector[3].weight)
    found = validate(Objective(head, RatingMap("tanh")), data, 8)
    assert found["musicality"]["accuracy"] == found["alignment"]["accuracy"] == 0.5
    assert (found["musicality"]["equal"], found["musicality"]["pairs"]) == (24, 24)
    assert found["loss"] == pytest.approx(0.6931, abs=1e-4)


@torch.no_grad()
def test_a_dropped_modality_is_masked_as_at_inference(config, data):
    head = RewardHead(config.head(24, "x")).eval()
    dropped = torch.tensor([[False, True, True]]).repeat(4, 1)
    found = BatchModel(head)(data.batch(range(4), dropped))
    bare = data.batch(range(4))
    nothing = torch.zeros(4, dtype=torch.long)
    bare = dataclasses.replace(bare, lyrics=(bare.lyrics[0], nothing), reference=(bare.reference[0], nothing))
    assert torch.equal(found, BatchModel(head)(bare))
    assert not torch.equal(found, BatchModel(head)(data.batch(range(4))))


def test_without_skip_null_the_learned_embedding_takes_its_place(config, data):
    head = RewardHead(dataclasses.replace(config, skip_null=False).head(24, "x"))
    torch.nn.init.normal_(head.null_audio_embedding)
    kept, dropped = torch.zeros(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    dropped[1, 2] = True
    plain, replaced = (
        BatchModel(head)(data.batch([1, 2, 3], drops)).unflatten(0, (2, -1)) for drops in (kept, dropped)
    )
    changed = (plain - replaced).abs().amax(dim=(0, 2))
    assert changed[1] > 1e-6
    assert changed[[0, 2]].max() < 1e-6
    replaced.sum().backward()
    assert head.null_audio_embedding.grad.abs().sum() > 0
    assert head.null_text_embedding.grad.abs().sum() == 0


def test_an_unlabelled_head_learns_nothing_and_breaks_nothing(config, pairs):
    files = {}
    for name in ("train", "validation"):
        rows = [json.loads(line) for line in (pairs / f"{name}.jsonl").read_text().splitlines()]
        unlabelled = [{**row, "preference_alignment": ""} for row in rows]
        files[name] = str(write_rows(pairs / f"musicality-{name}.jsonl", unlabelled))
    main(dataclasses.replace(config, **files, steps=4))
    log = read_log(config)
    assert all(row["alignment"] == 0 for row in log if "validation" not in row)
    assert log[-1]["validation"]["alignment"]["accuracy"] is None
    assert log[-1]["validation"]["loss"] == log[-1]["validation"]["musicality"]["loss"]


def test_more_processes_than_pairs_in_a_step_are_refused(config, monkeypatch):
    monkeypatch.setattr("reward.train.meet", lambda *_, **__: nullcontext(SimpleNamespace(world_size=9)))
    with pytest.raises(InputError, match="--batch_size 8 leaves some of 9 processes without a pair"):
        main(config)
