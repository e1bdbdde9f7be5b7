"""A head that gives distributions of ratings: what they are, what is learned of them, and what a scorer tells."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import yaml

from music.errors import InputError
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.config import CMIRMConfig, config_from_dict, config_to_dict
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.cmi_rm.ordinal import OrdinalRatings, log_odds_of_chances
from reward.judgements import load_preferences
from reward.protocol import judging
from reward.scoring.ranking import ScoredClip
from reward.train import main
from tests.reward.training_runs import die_at, read_log

LEVELS = [2, 3, 5, 10]


@pytest.fixture(params=LEVELS)
def ratings(request):
    return moved(OrdinalRatings(request.param))


def moved(ratings):
    """Return it with thresholds that training might have found."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in ratings.parameters():
            value += torch.randn(value.shape, generator=generator)
    return ratings


def outputs(count, seed=0, size=2.0):
    return size * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def test_chances_are_those_of_the_ordered_logit(ratings):
    x = outputs(50)
    chances, limits = ratings.chances(x), ratings.thresholds
    assert chances.shape == (50, ratings.levels, 2)
    assert (limits.diff(dim=0) > 0).all()
    scales = torch.exp(2 * torch.tanh(x[:, 2:] / 2))
    at_most = torch.sigmoid((limits - x[:, None, :2]) / scales[:, None])
    torch.testing.assert_close(chances.cumsum(dim=1)[:, :-1], at_most, atol=1e-6, rtol=0)
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(50, 2))


def test_score_and_spread_are_mean_and_standard_deviation_of_ratings_from_1_to_5(ratings):
    x = outputs(50)
    chances, values = ratings.chances(x).double(), torch.linspace(1, 5, ratings.levels).double()[:, None]
    mean = (chances * values).sum(dim=1)
    assert 1 - 1e-6 < mean.min() < mean.max() < 5 + 1e-6
    torch.testing.assert_close(ratings.mean(x).double(), mean, atol=1e-5, rtol=0)
    variance = (chances * (values - mean[:, None]) ** 2).sum(dim=1)
    torch.testing.assert_close(ratings.spread(x).double(), variance.sqrt(), atol=1e-4, rtol=0)


def test_a_higher_location_is_a_higher_score_and_a_larger_scale_a_larger_spread():
    ratings = OrdinalRatings(5)
    x = torch.zeros(9, 4)
    x[:, :2] = torch.linspace(-3, 3, 9)[:, None]
    assert (ratings.mean(x).diff(dim=0) > 0).all()
    x = torch.zeros(9, 4)
    x[:, 2:] = torch.linspace(-3, 3, 9)[:, None]
    assert (ratings.spread(x).diff(dim=0) > 0).all()


def test_log_odds_count_pairs_of_levels_and_half_of_equal_ones(ratings):
    a, b = outputs(50), outputs(50, seed=1)
    one, other = (ratings.chances(x).double() for x in (a, b))
    over = sum(
        one[:, i] * other[:, j] * (1.0 if i > j else 0.5) for i in range(ratings.levels) for j in range(i + 1)
    )
    found = ratings.log_odds(a, b)
    torch.testing.assert_close(torch.sigmoid(found.double()), over, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, -ratings.log_odds(b, a))
    assert torch.equal(ratings.log_odds(a, a), torch.zeros(50, 2))
    for row in range(5):
        for column in range(2):
            told = log_odds_of_chances(one[row, :, column].tolist(), other[row, :, column].tolist())
            assert told == pytest.approx(found[row, column].item(), abs=1e-3)


@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_sharp_distributions_have_finite_losses_and_gradients(ratings, size):
    a, b = outputs(20, size=size).requires_grad_(), outputs(20, seed=1, size=size).requires_grad_()
    losses = ratings.losses(a, torch.rand(20, 2) * 4 + 1), ratings.log_odds(a, b)
    sum(loss.abs().sum() for loss in losses).backward()
    for value in (*losses, a.grad, b.grad, *(one.grad for one in ratings.parameters())):
        assert torch.isfinite(value).all()


def test_certain_chances_have_finite_log_odds():
    assert log_odds_of_chances([1.0, 0.0], [0.0, 1.0]) == pytest.approx(math.log(1e-12))
    assert log_odds_of_chances([0.0, 1.0, 0.0], [0.0, 1.0, 0.0]) == 0


def test_a_rating_between_two_levels_belongs_to_both():
    ratings, x = OrdinalRatings(5), outputs(3)
    below, above, between = (ratings.losses(x, torch.full((3, 2), one)) for one in (3.0, 4.0, 3.25))
    torch.testing.assert_close(between, 0.75 * below + 0.25 * above)
    torch.testing.assert_close(below, -ratings.chances(x)[:, 2].log())
    three = OrdinalRatings(3)  # whose levels are 1, 3 and 5
    torch.testing.assert_close(three.losses(x, torch.full((3, 2), 3.0)), -three.chances(x)[:, 1].log())


def test_nothing_depends_on_the_batch(ratings):
    a, b = outputs(7), outputs(7, seed=1)
    for found in (ratings.mean, ratings.spread, ratings.chances):
        assert torch.equal(found(a), torch.cat([found(row[None]) for row in a]))
    alone = [ratings.log_odds(one[None], other[None]) for one, other in zip(a, b, strict=True)]
    assert torch.equal(ratings.log_odds(a, b), torch.cat(alone))


def test_a_published_config_has_no_levels():
    assert "rating_levels" not in config_to_dict(CMIRMConfig())
    assert "rating_levels" not in CMIRMConfig().acting()
    config = CMIRMConfig(rating_levels=5)
    assert config_from_dict(config_to_dict(config)) == config
    assert config.acting()["rating_levels"] == 5
    assert not [name for name in RewardHead(CMIRMConfig(dim=24)).state_dict() if name.startswith("ratings")]


@pytest.mark.parametrize(
    ("levels", "message"), [(1, "from 2 to 20, got 1"), (21, "got 21"), ("5", "rating_levels must be int")]
)
def test_impossible_levels_are_refused(levels, message):
    with pytest.raises(InputError, match=message):
        config_from_dict({"rating_levels": levels})


def test_it_learns_from_pairs_and_ratings_and_saves_a_scorer(mixed):
    main(dataclasses.replace(mixed, rating_levels=5, steps=40, evaluate_every=20))
    found = [row["validation"] for row in read_log(mixed) if "validation" in row][-1]
    assert found["musicality"]["accuracy"] == 1.0
    assert found["musicality"]["srcc"] > 0.8
    assert yaml.safe_load(Path(mixed.output, "config.yaml").read_text())["model"]["rating_levels"] == 5
    scorer = load_scorer(mixed.output, device="cpu")
    assert scorer.metrics == ("musicality", "alignment", "musicality_spread", "alignment_spread")
    rows = load_preferences(mixed.train.replace("mixed-", ""))
    scores = scorer.score([ScoreRequest(path, row.prompt) for row in rows for path in row.audio])
    assert all(tuple(one) == scorer.metrics for one in scores)
    assert all(1 <= one["musicality"] <= 5 and 0 < one["musicality_spread"] < 2 for one in scores)
    better = [a["musicality"] > b["musicality"] for a, b in zip(scores[::2], scores[1::2], strict=True)]
    assert better == [row.musicality == "a" for row in rows]


def test_a_killed_training_resumes_to_the_bit(mixed, tmp_path):
    config = dataclasses.replace(mixed, rating_levels=5)
    main(config)
    whole = Path(config.output, "model.safetensors").read_bytes()
    again = dataclasses.replace(config, output=str(tmp_path / "killed"))
    with pytest.MonkeyPatch.context() as patch:
        die_at(patch, 7)
        with pytest.raises(KeyboardInterrupt):
            main(again)
    main(again)
    assert Path(again.output, "model.safetensors").read_bytes() == whole


def test_what_does_not_fit_together_is_refused(config, mixed, tmp_path):
    with pytest.raises(InputError, match="--rating_map linear is for a head that gives scores"):
        dataclasses.replace(mixed, rating_levels=5, rating_map="linear")
    one = dataclasses.replace(config, steps=1)
    main(one)
    two = dataclasses.replace(one, init_from=one.output, output=str(tmp_path / "two"), rating_levels=5)
    with pytest.raises(InputError, match="another shape: rating_levels is None, not 5"):
        main(two)
    with pytest.raises(InputError, match=r"other settings \(rating_levels was None, is 5\)"):
        main(dataclasses.replace(one, rating_levels=5))
    with pytest.raises(InputError, match="run gives scores, and no chances of ratings: leave chances out"):
        load_scorer(one.output, device="cpu", chances=True)


@pytest.fixture
def ordinal(scoring, tmp_path):
    """Return the folder of a head with random weights over the small towers."""
    from reward.cmi_rm.checkpoint import save_checkpoint

    config = CMIRMConfig(
        model_name=str(scoring / "mulan-tiny"), dim=24, heads=2, dim_head=8, joint_tf_depth=1, rating_levels=5
    )
    torch.manual_seed(3)
    head = RewardHead(config)
    with torch.no_grad():
        head.score_projector[3].weight *= 20
    save_checkpoint(tmp_path / "ordinal", config, head)
    return tmp_path / "ordinal"


def test_no_score_depends_on_neighbours_order_or_call(ordinal, golden):
    requests = golden("sa_conv")[0][:6]
    together = load_scorer(ordinal, device="cpu").score(requests)
    assert load_scorer(ordinal, device="cpu").score(requests[::-1]) == together[::-1]
    assert [load_scorer(ordinal, device="cpu").score([one])[0] for one in requests] == together
    assert len({one["musicality_spread"] for one in together}) > 1


def test_chances_of_levels_are_metrics_on_demand(ordinal, golden):
    requests = golden("sa_conv")[0][:3]
    plain, told = (load_scorer(ordinal, device="cpu", chances=chances) for chances in (False, True))
    assert plain.hash != told.hash
    assert len(told.metrics) == 4 + 2 * 5
    for one, other in zip(plain.score(requests), told.score(requests), strict=True):
        assert tuple(other) == told.metrics
        assert one.items() <= other.items()
        for metric in COLUMNS:
            chances = [other[f"{metric}_chance_{level}"] for level in range(1, 6)]
            assert math.fsum(chances) == pytest.approx(1, abs=1e-5)
            mean = math.fsum(level * chance for level, chance in enumerate(chances, start=1))
            assert mean == pytest.approx(one[metric], abs=1e-5)


def test_how_sure_a_scorer_is_judges_no_clip(ordinal, scoring):
    metrics = load_scorer(ordinal, device="cpu", chances=True).metrics
    assert judging(metrics) == ["musicality", "alignment"]
    assert judging(["stereo_spread", "tempo_chance_x", "loud"]) == ["stereo_spread", "tempo_chance_x", "loud"]
    scores = {"musicality": 4.0, "alignment": 2.0, "musicality_spread": 9.0, "musicality_chance_1": 9.0}
    assert ScoredClip({"clip": "a"}, scores).mean == 3.0
    ensemble = load_scorer(f"worst:{ordinal}+{scoring / 'sa_conv'}", device="cpu")
    assert ensemble.metrics == ("musicality", "alignment")
    assert load_scorer(f"mean:{ordinal}+{ordinal}", device="cpu").metrics == ("musicality", "alignment")
