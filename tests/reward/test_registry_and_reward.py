"""Scorers by name, and the reward made of their metrics."""

import pytest

from music.errors import InputError
from reward import RewardWeights, Scorer, load_scorer
from reward.protocol import features_of


class Constant:
    """A scorer from elsewhere."""

    name, metrics, hash = "constant", ("beauty",), "0"

    def __init__(self, value=1.0, checkpoint=None):
        self.value = value

    def score(self, requests):
        return [{"beauty": self.value} for _ in requests]


class Errors(Constant):
    name, higher_is_better, features, max_seconds = "errors", False, ("Whisper",), 5.0


class Placed(Constant):
    def __init__(self, device, dtype):
        super().__init__()
        self.place = (device, dtype)


@pytest.fixture
def plug_in(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "my_judges", sys.modules[__name__])
    return "my_judges"


def test_plug_ins_get_what_they_ask_for(plug_in):
    scorer = load_scorer(f"{plug_in}:Constant", value=2.0)
    assert isinstance(scorer, Scorer)
    assert scorer.score([None]) == [{"beauty": 2.0}]
    assert (scorer.value, scorer.takes_clips, scorer.batch_size) == (2.0, False, 1)
    assert (features_of(scorer), scorer.max_seconds, scorer.higher_is_better) == (("constant",), None, True)
    assert load_scorer(f"{plug_in}:Placed", device="cpu", dtype="bfloat16").place == ("cpu", "bfloat16")


def test_plug_ins_say_what_the_defaults_do_not(plug_in):
    windowed = load_scorer(f"mean10:{plug_in}:Errors")
    assert (features_of(windowed), windowed.higher_is_better) == (("Whisper",), False)
    assert load_scorer(f"{plug_in}:Errors").max_seconds == 5.0
    with pytest.raises(
        InputError, match="errors cannot be in an ensemble: more of its metrics is not better"
    ):
        load_scorer(f"worst:constant+{plug_in}:Errors")


def test_a_folder_is_a_scorer(scoring):
    scorer = load_scorer(scoring / "sa_plain")
    assert isinstance(scorer, Scorer)
    assert (scorer.name, scorer.metrics) == ("sa_plain", ("musicality", "alignment"))


@pytest.mark.parametrize(
    "name", ["no-such-scorer", "no_module:Class", "my_judges:Nothing", "my_judges:pytest", "./nowhere"]
)
def test_unknown_names_are_refused(plug_in, name):
    with pytest.raises(InputError):
        load_scorer(name)


@pytest.mark.parametrize(
    "name",
    ["lab-cmi-rm", "constant", "songeval", "FOLDER", "nobody/nothing", "mean:my_judges:Constant+constant"],
)
def test_a_checkpoint_is_for_classes_from_elsewhere(plug_in, scoring, name):
    with pytest.raises(InputError, match=r"--checkpoint is handed to a module:Class, which .* is not"):
        load_scorer(name.replace("FOLDER", str(scoring / "sa_plain")), checkpoint="weights")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.yaml and model\.safetensors"):
        load_scorer(tmp_path)


def test_a_hub_id_that_cannot_be_reached_says_so(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"nobody/nothing.*hub"):
        load_scorer("nobody/nothing")


def test_a_hub_id_loads_what_the_hub_gives(scoring, golden, monkeypatch):
    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(scoring / "sa_conv")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    scorer = load_scorer("HaiwenXia/CMI-RM", device="cpu")
    requests, expected = golden("sa_conv")
    assert scorer.score(requests[:1])[0] == pytest.approx(expected[0], abs=1e-5)
    assert asked == [("HaiwenXia/CMI-RM", ["config.yaml", "model.safetensors"])]
    assert scorer.name == "CMI-RM"


def test_reward_is_half_and_half_by_default():
    assert RewardWeights()({"musicality": 1.0, "alignment": 3.0, "other": 9.0}) == 2.0
    assert RewardWeights.parse(RewardWeights().name) == RewardWeights()


def test_reward_is_read_from_text():
    reward = RewardWeights.parse("beauty, noise=-0.5")
    assert reward.weights == {"beauty": 1.0, "noise": -0.5}
    assert reward({"beauty": 1.0, "noise": 2.0}) == 0.0


@pytest.mark.parametrize("text", ["", "a=x", "a,a", "a=0", "a=nan", "a=inf,b", "=1"])
def test_bad_rewards_are_refused(text):
    with pytest.raises(InputError):
        RewardWeights.parse(text)


def test_a_missing_metric_names_those_that_exist():
    with pytest.raises(InputError, match="needs the metric 'musicality'; there are CE, CU"):
        RewardWeights()({"CE": 1.0, "CU": 1.0})
    with pytest.raises(InputError, match="'musicality'"):
        RewardWeights().check(("CE",))
    with pytest.raises(InputError, match="'alignment'; there are musicality"):
        RewardWeights()({"musicality": 1.0})
