"""The main job with a diffusion model: known by its folder, sampled as the options say."""

import json
from pathlib import Path

import pytest

from music.command import parse_command
from music.errors import InputError
from music.pool import Pool
from scaling.best_of_n import BestOfN, main
from tests.scaling.finished_run import finished
from tests.tiny_stable_audio import build_tiny_stable_audio


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("diffusers", "torchsde"):
        pytest.importorskip(library, reason='the extra "diffusers" is not installed')
    return build_tiny_stable_audio(tmp_path_factory.mktemp("tiny_stable_audio"))


@pytest.fixture
def argv(folder: Path, prompt_file: Path, tmp_path: Path) -> list[str]:
    reward = "tests.scaling.loudness_scorer:LoudnessScorer"
    words = f"--reward {reward} --n 3 --seconds 0.3 --device cpu --steps 3 --batch_size 4 --ignore_unsupported true"
    paths = ["--generator", str(folder), "--prompts", str(prompt_file), "--output", str(tmp_path / "run")]
    return [*words.split(), *paths, "--negative_prompt", "low quality"]


def test_the_main_job_runs_and_is_taken_up(argv: list[str], tmp_path: Path):
    main(parse_command(BestOfN, argv))
    pool = Pool(tmp_path / "run" / "pool")
    assert len(pool) == 9
    assert {pool.clip(candidate).waveform.shape for candidate in pool} == {(2, 2_400)}
    expected = {"backend": "diffusers", "steps": 3, "guidance": 7.0, "negative_prompt": "low quality"}
    assert expected.items() <= pool.spec(pool.candidates[0]).items()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["gain"]["reward"]["mean"] > 0
    report = (tmp_path / "run" / "report.html").read_text()
    assert "steps 3, guidance 7.0, negative_prompt low quality, dtype float32" in report
    before = finished(tmp_path / "run")
    main(parse_command(BestOfN, argv))
    assert finished(tmp_path / "run") == before
    with pytest.raises(InputError, match="steps was 3, is 4"):
        main(parse_command(BestOfN, [*argv, "--steps", "4"]))


def test_an_option_of_another_backend_is_refused(argv: list[str]):
    with pytest.raises(InputError, match="backend diffusers has no option 'top_k'"):
        main(parse_command(BestOfN, [*argv, "--top_k", "5"]))
