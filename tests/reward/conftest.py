"""Small models, sounds and trainings for the tests of `reward`."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from music.clips import Clip
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines import audiobox, lyrics, pam
from reward.cmi_rm.checkpoint import load_towers
from reward.cmi_rm.locations import Locator
from reward.training.config import TrainConfig
from tests.missing_extras import skip_without
from tests.reward.judge_server import JudgeServer
from tests.reward.training_runs import rated, write_pairs, write_rows
from tests.tiny_audiobox import build_tiny_audiobox, small_wavlm
from tests.tiny_clap import build_tiny_clap
from tests.tiny_msclap import build_tiny_msclap, small_htsat
from tests.tiny_muq_eval import build_tiny_muq_eval
from tests.tiny_songeval import build_tiny_songeval
from tests.tiny_tunejury import build_tiny_tunejury
from tests.tiny_whisper import build_tiny_whisper

SCORING = Path(__file__).parents[1] / "data" / "scoring"


@pytest.fixture(scope="session")
def scoring() -> Path:
    """Return the folder of golden checkpoints, towers and clips."""
    return SCORING


@pytest.fixture(scope="session")
def golden():
    """Return the expected rows of a golden checkpoint, as requests and as ``{metric: value}``."""

    def read(name):
        rows = json.loads((SCORING / name / "expected.json").read_text())
        requests = []
        for index, row in enumerate(rows):
            reference = SCORING / "audio" / f"{row['ref']}.flac" if row["ref"] else None
            prompt = Prompt(str(index), row["text"], row["lyrics"], reference)
            requests.append(ScoreRequest(SCORING / "audio" / f"{row['audio']}.flac", prompt))
        return requests, [{name: row[name] for name in ("musicality", "alignment")} for row in rows]

    return read


@pytest.fixture
def server():
    """Return an OpenAI-style server that is running."""
    server = JudgeServer()
    yield server
    server.http.shutdown()


@pytest.fixture(scope="session", params=["sa_plain", "sa_conv"])
def golden_name(request):
    return request.param


@pytest.fixture(scope="session")
def towers():
    """Return the small MuQ-MuLan, width 24."""
    return load_towers(str(SCORING / "mulan-tiny"), Locator())


@pytest.fixture
def scorer(scoring):
    """Return a fresh scorer, with empty caches."""
    return load_scorer(scoring / "sa_conv", device="cpu")


@pytest.fixture
def heads(scoring, tmp_path):
    """Return the folder of three heads of one shape, made of a golden one, and theirs."""
    folder = tmp_path / "three"
    places = [folder / name for name in ("a", "b", "c")]
    for place, size in zip(places, (1.0, 0.9, 1.2), strict=True):
        place.mkdir(parents=True)
        config = yaml.safe_load((scoring / "sa_conv" / "config.yaml").read_text())
        config["model"]["model_name"] = str(scoring / "mulan-tiny")
        (place / "config.yaml").write_text(yaml.safe_dump(config))
        weights = load_file(scoring / "sa_conv" / "model.safetensors")
        moved = {name: value * (size if "projector" in name else 1.0) for name, value in weights.items()}
        save_file(moved, place / "model.safetensors")
    return folder, places


@pytest.fixture(scope="session")
def clap_folder(tmp_path_factory):
    return build_tiny_clap(tmp_path_factory.mktemp("models") / "tiny-clap")


@pytest.fixture(scope="session")
def audiobox_folder(tmp_path_factory):
    skip_without(audiobox.LIBRARIES)
    with small_wavlm():
        yield build_tiny_audiobox(tmp_path_factory.mktemp("models") / "tiny-audiobox")


@pytest.fixture(scope="session")
def pam_folder(tmp_path_factory):
    skip_without(pam.LIBRARIES)
    with small_htsat():
        yield build_tiny_msclap(tmp_path_factory.mktemp("models") / "tiny-pam")


@pytest.fixture(scope="session")
def songeval_folder(tmp_path_factory):
    return build_tiny_songeval(tmp_path_factory.mktemp("models") / "tiny-songeval")


@pytest.fixture(scope="session")
def muq_eval_folder(tmp_path_factory):
    return build_tiny_muq_eval(tmp_path_factory.mktemp("models") / "tiny-muq-eval")


@pytest.fixture(scope="session")
def tunejury_folder(tmp_path_factory):
    return build_tiny_tunejury(tmp_path_factory.mktemp("models") / "tiny-tunejury")


@pytest.fixture(scope="session")
def lyrics_folder(tmp_path_factory):
    skip_without(lyrics.LIBRARIES)
    return build_tiny_whisper(tmp_path_factory.mktemp("models") / "tiny-whisper")


@pytest.fixture
def noise():
    """Return a clip of white noise of so many samples."""

    def make(samples, seed=0, rate=24_000, channels=1):
        generator = torch.Generator().manual_seed(seed)
        return Clip(torch.randn(channels, samples, generator=generator) * 0.1, rate)

    return make


@pytest.fixture(scope="session")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "train.jsonl", 24, 1)
    write_pairs(folder / "validation.jsonl", 12, 2)
    return folder


@pytest.fixture
def config(pairs, scoring, tmp_path):
    return TrainConfig(
        train=str(pairs / "train.jsonl"),
        validation=str(pairs / "validation.jsonl"),
        output=str(tmp_path / "run"),
        towers=str(scoring / "mulan-tiny"),
        embeddings=str(pairs / "embeddings"),
        heads=2,
        prompt_depth=1,
        ff_mult=1,
        downsample_factor=4,
        steps=12,
        batch_size=8,
        learning_rate=3e-3,
        warmup_steps=2,
        evaluate_every=4,
        checkpoint_every=3,
        device="cpu",
    )


@pytest.fixture
def mixed(config, pairs):
    """Return the config with data of which half the rows are ratings."""
    files = {}
    for name in ("train", "validation"):
        rows = [json.loads(line) for line in (pairs / f"{name}.jsonl").read_text().splitlines()]
        rows = [rated(row) if index // 3 % 2 else row for index, row in enumerate(rows)]
        files[name] = str(write_rows(pairs / f"mixed-{name}.jsonl", rows))
    return dataclasses.replace(config, **files)
