"""The configs of the paper's runs, run as they are: only what the hub would give is small and lies here."""

import json
from pathlib import Path

import pytest

from generators.stable_audio.tools import library as stability_library
from music.clips import read_clip
from music.command import parse_command
from music.pool import Pool
from scaling.best_of_n import BestOfN, main
from tests.tiny_musicgen import build_tiny_musicgen
from tests.tiny_stability_audio import build_tiny_stability_audio

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "experiments" / "configs"
MUSICCAPS = (
    "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,is_audioset_eval\n"
    "-a,30,40,/m/1,\"['slow', 'jazz']\",A slow jazz tune with brushes.,4,False,True\n"
    "b,30,40,/m/1,\"['rock']\",A rock song.,4,True,False\n"
    "c,30,40,/m/1,\"['drone']\",A drone.,4,True,True\n"
)


MODELS = {
    "paper_musicgen_small": "facebook/musicgen-small",
    "paper_stable_audio_open_small": "stabilityai/stable-audio-open-small",
}
OPTIONS = {
    "paper_musicgen_small": {"guidance": 3.0, "temperature": 1.0, "top_k": 250},
    "paper_stable_audio_open_small": {"guidance": 1.0, "steps": 8, "backend": "stable-audio-tools"},
}


def tiny_model(name: str, folder: Path) -> Path:
    """Return a tiny model of the class that a config asks for, which can make 10 s."""
    if name == "paper_musicgen_small":
        return build_tiny_musicgen(folder)
    if missing := stability_library.LIBRARIES.missing():
        pytest.skip(f"needs {missing}: {stability_library.LIBRARIES.cure}")
    return build_tiny_stability_audio(folder, sample_rate=1_280, frames=119)


@pytest.fixture(params=MODELS)
def config(request, tmp_path, monkeypatch):
    """Let the hub give a tiny model, a tiny CMI-RM and three rows of MusicCaps, by their published names."""
    models = {
        MODELS[request.param]: tiny_model(request.param, tmp_path / "model"),
        "HaiwenXia/CMI-RM": ROOT / "tests" / "data" / "scoring" / "sa_plain",
    }
    (tmp_path / "musiccaps-public.csv").write_text(MUSICCAPS)
    models["google/MusicCaps"] = tmp_path
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(models[name]))
    return request.param


def test_a_run_of_the_paper(config, tmp_path):
    output = tmp_path / "run"
    options = ["--config", str(CONFIGS / f"{config}.yaml"), "--output", str(output), "--device", "cpu"]
    main(parse_command(BestOfN, options))
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["n_prompts"], summary["n"]) == (2, 10)
    assert {"1", "3", "10"} <= summary["by_n"].keys()
    assert summary["gain"]["reward"]["mean"] > 0
    pool = Pool(output / "pool")
    assert {candidate.prompt_id for candidate in pool} == {"-a", "c"}
    assert {candidate.seconds for candidate in pool} == {10.0}
    spec = pool.spec(pool.candidates[0])
    assert spec.items() >= OPTIONS[config].items()
    assert len(list((output / "best").glob("*.flac"))) == 2
    assert all(read_clip(file).seconds == 10 for file in (output / "best").glob("*.flac"))
    record = json.loads((output / "run.json").read_text())
    assert record["prompts"]["count"] == 2


def test_every_config_of_the_main_job_starts_by_the_command_in_it():
    for path in (CONFIGS / f"{name}.yaml" for name in MODELS):
        config = parse_command(BestOfN, ["--config", str(path)])
        assert (config.n, config.seconds, config.output.name) == (10, 10.0, path.stem)
        assert f"--config experiments/configs/{path.name}" in path.read_text()
