"""Gradient ascent on the noise, with tiny models and the real path of the reward: what it finds, costs and refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from generators import load_generator
from generators.protocol import Job
from generators.stepping import latent_stoppable
from music.clips import Clip
from music.command import parse_command
from music.errors import InputError
from music.hashing import candidate_seed
from music.pool import Pool
from music.prompts import Prompt
from reward import RewardWeights, load_scorer
from reward.protocol import ScoreRequest
from scaling.methods.gradient import GradientAscent
from scaling.methods.protocol import Advance, Bench, Differentiate, Hear, Slope
from scaling.methods.sphere import angle
from scaling.search import Search, main
from scaling.searching.compute import CLIP, SLOPE, Course
from scaling.searching.trail import read_looks
from tests.scaling.finished_run import finished
from tests.tiny_stable_audio import build_tiny_stable_audio
from tests.web_pages import assert_balanced, assert_loads_nothing

ROOT = Path(__file__).parents[2]
REWARD = str(ROOT / "tests" / "data" / "scoring" / "sa_conv")
SECONDS = 0.5
PROMPT = Prompt("piano", "a slow sad piano")


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    for library in ("diffusers", "torchsde"):
        pytest.importorskip(library, reason='the extra "diffusers" is not installed')
    return build_tiny_stable_audio(tmp_path_factory.mktemp("tiny_stable_audio"))


@pytest.fixture(autouse=True)
def no_page(request, monkeypatch):
    """Leave out the page, which takes as long as a small search, where it is not what is tested."""
    if "report" not in request.node.name:
        monkeypatch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)


@pytest.fixture(scope="module")
def given(diffusion, prompt_file):
    """Return options of a search that takes seconds."""
    return {
        "method": "gradient",
        "generator": str(diffusion),
        "reward": REWARD,
        "prompts": str(prompt_file),
        "limit": 2,
        "seconds": SECONDS,
        "sampling_steps": 3,
        "guidance": 2.0,
        "ascents": 2,
        "ascent_angle": 1.0,
        "batch_size": 4,
        "ignore_unsupported": True,
        "device": "cpu",
    }


@pytest.fixture
def config(given, tmp_path):
    return Search(**given, output=tmp_path / "search")


@pytest.fixture(scope="module")
def climbed(given, tmp_path_factory):
    """Return what a search leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("climbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)
        main(Search(**given, output=folder))
    return folder


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_reward_rises_and_every_step_is_told(climbed):
    pool, scores = Pool(climbed / "pool"), load_scorer(REWARD, device="cpu")
    assert len(pool) == 2 * 2  # a start and an end for each prompt
    assert len({one.sha256 for one in pool}) == len(pool)
    heard = {
        one.key: RewardWeights()(
            scores.score([ScoreRequest(pool.folder / one.file_name, pool.prompt(one))])[0]
        )
        for one in pool
    }
    for prompt_id, looks in read_looks(climbed / "pool").items():
        assert [(look.candidate, look.share) for look in looks] == [(1, 0), (1, 0.5), (1, 1)]
        drifts = [look.scores["drift"] for look in looks]
        assert drifts[:2] == [0, pytest.approx(1, rel=1e-3)]
        assert 1 < drifts[2] <= 2.001
        assert looks[0].reward == pytest.approx(heard[prompt_id, 0], abs=2e-3)
        assert looks[2].reward == pytest.approx(heard[prompt_id, 1], abs=2e-3)
        assert looks[0].reward < looks[1].reward < looks[2].reward
    compute = summary_of(climbed)["compute"]
    assert compute["generation"] == compute["decoding"] == compute["scoring"] == 2 * 2 + 2
    assert compute["clips_per_prompt"] == pytest.approx(6)
    stages = summary_of(climbed)["looked_at"]
    assert [one["reward"] for one in stages] == sorted(one["reward"] for one in stages)
    assert stages[-1]["scores"]["drift"] > stages[1]["scores"]["drift"] > 0
    assert summary_of(climbed)["gain"]["reward"]["mean"] > 0


def test_what_it_starts_from_are_candidates_of_best_of_n(climbed, config):
    main(replace(config, method="random", n=1))
    own = {one.key: one.sha256 for one in Pool(climbed / "pool")}
    for one in Pool(config.output / "pool"):
        assert own[one.key] == one.sha256
        assert one.seed == candidate_seed(0, one.prompt_id, one.candidate)


def test_a_kill_and_the_prompts_beside_it_change_nothing(config, climbed):
    start = time.perf_counter()
    main(replace(config, at_once=1, output=config.output.parent / "one by one"))
    duration = time.perf_counter() - start
    assert finished(config.output.parent / "one by one") == finished(climbed)
    child = os.fork()
    if child == 0:
        try:
            main(replace(config, at_once=1))
        finally:
            os._exit(0)
    time.sleep(0.6 * duration)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    main(config)
    assert finished(config.output) == finished(climbed)


def test_two_processes_give_what_one_gives(given, climbed, tmp_path):
    words = [f"--{name}={value}" for name, value in given.items()]
    command = [
        "-m",
        "music.console",
        "--num_processes",
        "2",
        "search",
        *words,
        f"--output={tmp_path / 'two'}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path / "two") == finished(climbed)


def test_noise_is_led_up_on_its_sphere(diffusion):
    """With a reward whose gradient is known: the product of the noise with a direction."""
    generator = latent_stoppable(load_generator(str(diffusion), device="cpu", steps=2))
    bench = Bench(generator, RewardWeights({"up": 1.0}), SECONDS, 0)
    up = torch.randn(
        generator.noise(Job(PROMPT, 0, 0), SECONDS).shape, generator=torch.Generator().manual_seed(1)
    )
    steps = GradientAscent(2, 20, 3.0).search(bench, PROMPT)
    asked, seen = next(steps), []
    while isinstance(asked, Differentiate):
        seen.append([noise.clone() for noise in asked.noises])
        asked = steps.send([Slope({"up": float((noise * up).sum())}, up) for noise in asked.noises])
    assert isinstance(asked, Advance)
    assert len(asked.partials) == 4
    for index, (start, *_, end) in enumerate(zip(*seen, strict=True)):
        assert torch.equal(start, generator.noise(bench.jobs(PROMPT, [index])[0], SECONDS))
        assert end.norm() == pytest.approx(start.norm().item(), rel=1e-5)
        assert angle(end, up) == pytest.approx(angle(start, up) - 19 * 3, abs=0.1)
        assert angle(start, end) == pytest.approx(19 * 3, abs=0.1)
    assert isinstance(steps.send(asked.partials), Hear)
    with pytest.raises(StopIteration) as ended:
        steps.send([{"up": float(place)} for place in range(4)])
    last = [look for look in ended.value.value.looks if look.share == 1]
    assert [(look.candidate, look.reward) for look in last] == [(2, 2.0), (3, 3.0)]
    assert all(look.scores["drift"] > 30 for look in last)


def test_the_work_is_that_of_the_operations(diffusion):
    """There and back through all of it is as much as twice there."""
    generator = latent_stoppable(load_generator(str(diffusion), device="cpu", steps=2))
    scorer, job = load_scorer(REWARD, device="cpu"), Job(PROMPT, 0, 0)
    noise = generator.noise(job, SECONDS).requires_grad_()

    def heard():
        wave = generator.render(job, SECONDS, noise)
        return RewardWeights()(scorer.measure(ScoreRequest(Clip(wave, generator.sample_rate), PROMPT)))

    heard()  # remembers what prompts share
    with FlopCounterMode(display=False) as there:
        reward = heard()
    with FlopCounterMode(display=False) as back:
        reward.backward()
    assert 1 + back.get_total_flops() / there.get_total_flops() == pytest.approx(SLOPE.generation, abs=0.15)
    assert GradientAscent(3, 5, 5.0).work(Course(8, True)) == CLIP * (3 * (5 * 2 + 2))


def test_a_budget_is_as_many_starts_as_it_pays_and_the_report_tells_their_drift(config):
    main(replace(config, limit=1, n=None, ascents=1, budget=9.0))
    summary = summary_of(config.output)
    assert (summary["n"], summary["compute"]["clips_per_prompt"]) == (2, pytest.approx(8))
    page = (config.output / "report.html").read_text()
    assert_loads_nothing(page)
    assert_balanced(page)
    assert "gradient, n 2, ascents 1, angle 1.0" in page
    assert '<th scope="col">drift</th>' in page
    with pytest.raises(InputError, match="--budget 9 does not suffice for the least that this method does"):
        main(replace(config, n=None, ascents=4, budget=9.0))


@pytest.mark.parametrize("reward", ["loudness", f"{REWARD},loudness"])
def test_a_reward_without_a_gradient_is_refused_before_any_work(config, reward):
    with pytest.raises(InputError, match="loudness gives scores without a gradient in the audio") as caught:
        main(replace(config, reward=reward, weights="loudness=1"))
    assert len(str(caught.value).splitlines()) == 1
    assert not (config.output / "pool" / "search.json").exists()


def test_a_generator_without_noise_is_refused_before_any_work(config, tiny_musicgen):
    with pytest.raises(InputError, match="starts from no noise: choose a generator by diffusion or flow"):
        main(replace(config, generator=str(tiny_musicgen), sampling_steps=None))
    assert not (config.output / "pool" / "search.json").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--ascents", "0"], "--ascents must be at least 1, got 0"),
        (["--ascent_angle", "90"], "--ascent_angle must be above 0 and below 90 degrees, got 90"),
        (["--standardise", "true"], "leave out --standardise"),
    ],
)
def test_options_of_no_ascent_never_start(argv, message):
    with pytest.raises(InputError, match=message):
        parse_command(Search, ["--method", "gradient", *argv])
