"""Several heads over the same towers: trained by one command, and one scorer that tells how far they differ."""

import dataclasses
import shutil
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import pytest
import torch
import yaml

from music.errors import InputError
from reward import RewardWeights, Scorer, ScoreRequest, load_scorer
from reward.judgements import load_judgements
from reward.train import main
from scaling.choose_best import choose_best
from tests.reward.training_runs import curve, die_at, read_log, train_in_two_processes

METRICS = ("musicality", "alignment", "musicality_spread", "alignment_spread")


@pytest.fixture
def several(config):
    """Return the config of two short trainings."""
    return dataclasses.replace(config, ensemble=2, steps=4, evaluate_every=2)


def weights_of(folder):
    return {path.parent.name: path.read_bytes() for path in sorted(Path(folder).rglob("model.safetensors"))}


def test_scores_are_mean_and_standard_deviation_over_heads(heads, golden):
    folder, places = heads
    requests = golden("sa_conv")[0][:4]
    scorer = load_scorer(f"ensemble:{folder}", device="cpu")
    assert isinstance(scorer, Scorer)
    assert (scorer.name, scorer.metrics) == ("three", METRICS)
    singles = [load_scorer(place, device="cpu").score(requests) for place in places]
    for found, *each in zip(scorer.score(requests), *singles, strict=True):
        assert tuple(found) == METRICS
        for metric in METRICS[:2]:
            values = [one[metric] for one in each]
            both = found[metric], found[f"{metric}_spread"]
            assert both == pytest.approx((fmean(values), pstdev(values)), rel=1e-12)
            assert found[f"{metric}_spread"] > 0


def test_no_score_depends_on_neighbours_order_or_call(heads, golden):
    requests = golden("sa_conv")[0][:6]
    names = [f"ensemble:{heads[0]}"] * 3
    together, turned, alone = (load_scorer(name, device="cpu") for name in names)
    found = together.score(requests)
    assert turned.score(requests[::-1]) == found[::-1]
    assert [alone.score([one])[0] for one in requests] == found


def test_a_clip_and_its_prompt_are_encoded_once_for_all_heads(heads, golden, monkeypatch):
    requests = golden("sa_conv")[0]
    asked = []
    for name in (str(heads[1][0]), f"ensemble:{heads[0]}"):
        scorer, counts = load_scorer(name, device="cpu"), {"text": 0, "chunks": 0}
        text, audio = scorer.towers.encode_text, scorer.towers._forward_audio

        def count_text(value, text=text, counts=counts):
            counts["text"] += 1
            return text(value)

        def count_audio(waves, audio=audio, counts=counts):
            counts["chunks"] += len(waves)
            return audio(waves)

        monkeypatch.setattr(scorer.towers, "encode_text", count_text)
        monkeypatch.setattr(scorer.towers, "_forward_audio", count_audio)
        scorer.score(requests)
        asked.append(counts)
    assert asked[0] == asked[1]
    assert asked[0]["chunks"] > 0


def test_the_hash_is_that_of_all_heads(heads):
    folder, places = heads
    whole = load_scorer(f"ensemble:{folder}", device="cpu").hash
    assert load_scorer(f"ensemble:{folder}", device="cpu").hash == whole
    others = {load_scorer(place, device="cpu").hash for place in places}
    others.add(load_scorer(f"ensemble:{folder}", device="cpu", dtype="bfloat16").hash)
    shutil.rmtree(places[2])
    others.add(load_scorer(f"ensemble:{folder}", device="cpu").hash)
    assert len(others | {whole}) == 6


def test_heads_that_do_not_belong_together_are_refused(heads, scoring, tmp_path):
    folder, places = heads
    with pytest.raises(InputError, match=r"three holds several heads: give ensemble:.*three, or one"):
        load_scorer(folder)
    with pytest.raises(InputError, match=r"a folder of two heads or more, .*; '.*a' has 0"):
        load_scorer(f"ensemble:{places[0]}")
    with pytest.raises(InputError, match="'no/such/folder' has 0"):
        load_scorer("ensemble:no/such/folder")
    with pytest.raises(InputError, match="chances"):
        load_scorer(f"ensemble:{folder}", chances=True)
    config = yaml.safe_load((places[1] / "config.yaml").read_text())
    config["model"]["model_name"] = "other"
    (places[1] / "config.yaml").write_text(yaml.safe_dump(config))
    (places[1] / "config.yaml").rename(places[1] / "config")
    with pytest.raises(
        InputError, match=r"b holds half a head: it needs config\.yaml and model\.safetensors"
    ):
        load_scorer(f"ensemble:{folder}")
    (places[1] / "config").rename(places[1] / "config.yaml")
    with pytest.raises(InputError, match=r"b hears with other towers than .*a: an ensemble shares them"):
        load_scorer(f"ensemble:{folder}")


def test_one_command_trains_heads_that_differ_and_are_centred(several):
    main(several)
    places = sorted(Path(several.output).glob("head-*"))
    assert [place.name for place in places] == ["head-00", "head-01"]
    assert len(set(weights_of(several.output).values())) == 2
    assert Path(several.output, "curves.png").is_file()
    rows = load_judgements(several.validation)
    requests = [ScoreRequest(path, row.prompt) for row in rows for path in row.audio]
    for place in places:
        scores = load_scorer(place, device="cpu").score(requests)
        for metric in METRICS[:2]:
            assert fmean(one[metric] for one in scores) == pytest.approx(0, abs=1e-5)
    spreads = [one["musicality_spread"] for one in load_scorer(f"ensemble:{several.output}").score(requests)]
    assert 0 < min(spreads) < max(spreads)


def test_a_killed_training_goes_on_and_may_get_more_heads(several, tmp_path):
    main(several)
    whole = weights_of(several.output)
    again = dataclasses.replace(several, output=str(tmp_path / "killed"))
    for call in (3, 4):  # of the first head, and of the second
        with pytest.MonkeyPatch.context() as patch:
            die_at(patch, call)
            with pytest.raises(KeyboardInterrupt):
                main(again)
    main(again)
    assert weights_of(again.output) == whole
    main(dataclasses.replace(again, ensemble=3))
    more = weights_of(again.output)
    assert whole.items() < more.items()
    assert len(set(more.values())) == 3
    with pytest.raises(InputError, match=r"holds more heads than --ensemble 2: ask for all"):
        main(again)
    with pytest.raises(InputError, match=r"holds a training of an ensemble: choose another --output"):
        main(dataclasses.replace(again, ensemble=None))


@pytest.mark.slow
def test_two_processes_train_the_same_heads(several, tmp_path):
    config = dataclasses.replace(several, dropout=0.2, rating_levels=5)
    main(config)
    other = dataclasses.replace(config, output=str(tmp_path / "two"))
    train_in_two_processes(other)
    for name in ("head-00", "head-01"):
        one, two = (dataclasses.replace(config, output=f"{run.output}/{name}") for run in (config, other))
        torch.testing.assert_close(curve(two), curve(one), atol=1e-4, rtol=0)


def test_heads_that_give_ratings_keep_them(mixed):
    main(dataclasses.replace(mixed, ensemble=2, rating_levels=3, steps=4, mixed_precision="bf16"))
    rows = load_judgements(mixed.validation)
    found = load_scorer(f"ensemble:{mixed.output}").score([ScoreRequest(rows[0].audio[0], rows[0].prompt)])
    assert tuple(found[0]) == METRICS
    assert 1 < found[0]["musicality"] < 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": 1}, "--ensemble must be at least 2, got 1"),
        ({"ensemble": 10**12}, "--ensemble must be at most 1000, got 1000000000000"),
        ({"ensemble": 2, "train_muq_depth": 1}, "--ensemble needs frozen towers"),
        ({"ensemble": 2, "tracker": "tensorboard"}, "leave --tracker tensorboard out"),
    ],
)
def test_what_an_ensemble_cannot_do_is_refused(config, options, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(config, **options)


def test_a_single_training_is_not_mixed_with_an_ensemble(several):
    main(dataclasses.replace(several, ensemble=None, steps=1))
    assert read_log(several)
    with pytest.raises(InputError, match=r"holds a training of a single head: choose another --output"):
        main(several)


def test_a_negative_weight_of_a_spread_chooses_what_is_surely_good():
    scores = {"musicality": np.array([[2.0, 3.0]]), "musicality_spread": np.array([[0.1, 2.0]])}
    assert choose_best(RewardWeights.parse("musicality=1")(scores)) == [1]
    assert choose_best(RewardWeights.parse("musicality=1,musicality_spread=-1")(scores)) == [0]
