"""What the reward of a command is made of: several scorers, weights by name, z-scores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from music.errors import InputError
from music.options import Rewarding, Runtime, Standardising
from reward import RewardWeights, Scorer
from reward.baselines.side_by_side import SideBySide, parts_of
from reward.composition import load_composed, weights_of
from reward.registry import load_reward, model_folder


@dataclass(frozen=True)
class Options(Standardising, Rewarding, Runtime):
    """Options of a command that standardises."""


class Named(Scorer):
    """A scorer of which only names matter."""

    def __init__(self, name, *metrics):
        self.name, self.metrics, self.hash = name, metrics, f"hash of {name}"

    def score(self, requests):
        """Give nothing."""
        return []


A = Named("A", "musicality", "alignment", "musicality_spread")
B = Named("B", "musicality", "CE")
C = Named("C", "loud", "loud_spread")


def weights(text="", *scorers, standardise=False):
    scorer = scorers[0] if len(scorers) == 1 else SideBySide(scorers)
    return dict(weights_of(Options(weights=text, standardise=standardise), scorer).weights)


@pytest.fixture
def metrics():
    generator = np.random.default_rng(0)
    return {name: generator.standard_normal((5, 6)) * scale for name, scale in (("a", 0.1), ("b", 30.0))}


def test_metrics_of_several_scorers_are_named_with_their_scorer():
    assert weights("A.alignment=0.5,B.CE=0.2,A.musicality=-1", A, B) == {
        "alignment": 0.5,
        "CE": 0.2,
        "A.musicality": -1.0,
    }
    assert weights("alignment,CE=2", A, B) == {"alignment": 1.0, "CE": 2.0}
    assert weights("A.musicality=1,alignment=3", A) == {"musicality": 1.0, "alignment": 3.0}


@pytest.mark.parametrize(
    ("text", "scorers", "message"),
    [
        ("musicality=1", (A, B), r"'musicality'; there are A\.musicality, alignment, .*B\.musicality, CE"),
        ("C.loud=1", (A, B), r"needs the metric 'C\.loud'; there are A\.musicality"),
        ("A.alignment=1,alignment=1", (A, B), "names the metric 'alignment' twice"),
        (
            "",
            (A, B),
            r"A and B may have nothing in common: .* --weights A\.musicality=0\.5,B\.musicality=0\.5, or",
        ),
        ("", (Named("D", "CE", "CU"),), "needs the metric 'musicality'; there are CE, CU"),
        ("a=x", (A,), "must be a number"),
    ],
)
def test_weights_that_do_not_fit_are_refused(text, scorers, message):
    with pytest.raises(InputError, match=message):
        weights(text, *scorers)


def test_without_weights_a_scorer_counts_as_it_is_meant_to():
    assert weights("", A) == RewardWeights().weights
    assert weights("", C) == {"loud": 1.0}
    both = {"musicality": 0.25, "alignment": 0.25, "loud": 0.5}
    assert weights("", A, C, standardise=True) == weights("", C, A, standardise=True) == both
    describing = Named("D", "tempo")
    describing.higher_is_better = False
    with pytest.raises(InputError, match="needs the metric 'musicality'; there are tempo"):
        weights("", describing)


def test_the_order_of_scorers_does_not_matter():
    generator = np.random.default_rng(1)
    names = parts_of(SideBySide([A, C]))
    metrics = {name: generator.standard_normal((4, 3)) for _, own in names for name in own.values()}
    for text in ("", "A.musicality=0.3,loud=0.1"):
        one, other = (
            weights_of(Options(weights=text, standardise=True), SideBySide(scorers)).on(metrics)(metrics)
            for scorers in ([A, C], [C, A])
        )
        assert one.tolist() == other.tolist()


def test_a_z_score_has_mean_zero_and_deviation_one(metrics):
    found = RewardWeights({"b": 1.0}, standardise=True).on(metrics)(metrics)
    assert found.mean() == pytest.approx(0, abs=1e-12)
    assert found.std() == pytest.approx(1)
    assert found == pytest.approx((metrics["b"] - metrics["b"].mean()) / metrics["b"].std())


def test_a_standardised_reward_does_not_change_with_the_scale_of_a_metric(metrics):
    reward = RewardWeights({"a": 0.7, "b": -0.3}, standardise=True)
    moved = {"a": 1e-4 * metrics["a"] - 7, "b": 200 * metrics["b"] + 5}
    before, after = (reward.on(one)(one) for one in (metrics, moved))
    assert after == pytest.approx(before, abs=1e-9)
    plain = RewardWeights({"a": 0.7, "b": -0.3})
    assert np.argmax(plain(metrics), axis=1).tolist() != np.argmax(before, axis=1).tolist()
    turned = {"a": -metrics["a"], "b": metrics["b"]}
    assert RewardWeights({"a": -0.7, "b": -0.3}, standardise=True).on(turned)(turned) == pytest.approx(before)


def test_the_order_of_candidates_has_no_part_in_the_scale(metrics):
    reward = RewardWeights({"a": 1.0, "b": 1.0}, standardise=True)
    shuffled = {name: values[::-1, ::-1] for name, values in metrics.items()}
    assert reward.on(shuffled).scales == reward.on(metrics).scales


@pytest.mark.parametrize("value", [0.1, -3.0, 0.0, 1e300])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7)])
def test_a_metric_that_does_not_vary_contributes_nothing(value, shape):
    metrics = {"a": np.full(shape, value), "b": np.arange(np.prod(shape), dtype=float).reshape(shape)}
    reward = RewardWeights({"a": 5.0, "b": 1.0}, standardise=True).on(metrics)
    assert reward.flat == (["a"] if metrics["b"].size > 1 else ["a", "b"])
    alone = RewardWeights({"b": 1.0}, standardise=True).on(metrics)(metrics)
    assert reward(metrics).tolist() == alone.tolist()
    assert np.isfinite(alone).all()


def test_without_standardising_nothing_changes(metrics):
    reward = RewardWeights({"a": 0.7, "b": -0.3})
    assert reward.on(metrics) is reward
    assert (reward(metrics) == 0.7 * metrics["a"] + -0.3 * metrics["b"]).all()
    assert reward.record() == {"weights": {"a": 0.7, "b": -0.3}}


def test_a_reward_is_what_its_record_says(metrics):
    for standardise in (True, False):
        reward = RewardWeights({"a": 0.7, "b": -0.3}, standardise).on(metrics)
        assert RewardWeights.of_record(reward.record()) == reward


PLUG_IN = """
class Judge:
    metrics, hash = ("m",), "1"

    def __init__(self, checkpoint="none", value=1):
        self.name, self.value = NAME, value

    def score(self, requests):
        return [{"m": self.value} for _ in requests]


def f(path, checkpoint="none", value=1):
    return value
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        Path(f"{name}.py").write_text(PLUG_IN.replace("NAME", repr(name)))
        Path(f"{name}.pt").write_text(name)


def test_options_reach_each_scorer_by_its_name(here):
    names = ["one.py:Judge", "two.py:Judge"]
    options = Options(
        reward=",".join(names),
        weights="one.m=1",
        reward_options='{"two.py:Judge": {"value": 4}, "one.py:Judge": {"value": 3}}',
    )
    scorer, reward = load_composed(options)
    assert scorer.score([None]) == [{"one.m": 3, "two.m": 4}]
    assert reward.weights == {"one.m": 1.0}
    alone = [load_reward(Options(reward=name)).hash for name in names]
    assert alone == ["1", "1"]
    assert len({part.hash for part, _ in parts_of(scorer)} - {"1"}) == 2
    single = Options(reward=names[0], reward_options='{"one.py:Judge": {"value": 3}}')
    assert load_reward(single).hash == parts_of(scorer)[0][0].hash


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"one.py:Judge": {"size": 4}}', "one.py:Judge has no option 'size': it takes checkpoint, value"),
        ('{"one.py:Judge": {"value": 4}, "three": {}}', "'three': expected a JSON object for each scorer"),
        ('{"one.py:Judge": {"value": 4}, "two.py:Judge": 4}', "'two.py:Judge': expected a JSON object"),
        ('{"one.py:Judge": {"device": "cpu"}}', "cannot hold 'device': give --device instead"),
        ('{"three.py:Judge": {"value": 4}}', "'three.py:Judge' is no name of an option"),
    ],
)
def test_options_of_scorers_that_do_not_fit_are_refused(here, given, message):
    with pytest.raises(InputError, match=message) as caught:
        load_reward(Options(reward="one.py:Judge,two.py:Judge", reward_options=given))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["one.py:Judge", "one.py:f"])
def test_a_checkpoint_is_part_of_the_hash_by_what_it_holds(here, name):
    def hash_of(**options):
        return load_reward(Options(reward=name, reward_options=options)).hash

    Path("copy.pt").write_bytes(Path("one.pt").read_bytes())
    assert hash_of(checkpoint="one.pt") == hash_of(checkpoint="copy.pt")
    others = [hash_of(), hash_of(checkpoint="two.pt"), hash_of(checkpoint="some/hub-id")]
    assert len({hash_of(checkpoint="one.pt"), *others}) == 4


def test_only_one_reward_is_trained_further(here):
    with pytest.raises(InputError, match="are several scorers, and only one is trained further"):
        model_folder("lab-cmi-rm,HaiwenXia/CMI-RM")
