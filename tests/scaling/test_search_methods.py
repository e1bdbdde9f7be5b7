"""The other methods of search, with tiny models: what they find, what it costs, and that a kill changes nothing."""

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from music.errors import InputError
from music.hashing import candidate_seed
from music.pool import Pool
from scaling.best_of_n import BestOfN
from scaling.best_of_n import main as best_of_n
from scaling.methods.evolve import Evolve
from scaling.methods.particles import Particles, parse_shares, systematic, z_scores
from scaling.methods.sphere import angle, turned
from scaling.search import Search, main
from scaling.searching.trail import read_looks
from tests.music.folder_state import contents
from tests.scaling.finished_run import finished
from tests.tiny_stable_audio import build_tiny_stable_audio

REWARD = "tests.scaling.loudness_scorer:LoudnessScorer"
STEPS = 10

pytestmark = pytest.mark.usefixtures("no_page")


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    for library in ("diffusers", "torchsde"):
        pytest.importorskip(library, reason='the extra "diffusers" is not installed')
    return build_tiny_stable_audio(tmp_path_factory.mktemp("tiny_stable_audio"))


@pytest.fixture
def shared(prompt_file, tmp_path):
    return {
        "reward": REWARD,
        "prompts": str(prompt_file),
        "limit": 2,
        "batch_size": 4,
        "ignore_unsupported": True,
        "device": "cpu",
        "output": tmp_path / "search",
    }


@pytest.fixture
def of_latents(diffusion, shared):
    return Search(generator=str(diffusion), seconds=0.3, sampling_steps=STEPS, n=6, **shared)


@pytest.fixture
def of_codes(tiny_musicgen, shared):
    return Search(generator=str(tiny_musicgen), seconds=0.6, n=6, **shared)


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_guidance_prunes_candidates_of_best_of_n_without_a_reward(of_latents, shared):
    main(replace(of_latents, method="cfg", schedule="0.5=0.5"))
    looks = read_looks(of_latents.output / "pool")
    for found in looks.values():
        kept = [look.scores["guidance_gap"] for look in found if look.kept]
        assert len(kept) == 3
        assert min(kept) >= max(look.reward for look in found if not look.kept)
    compute = summary_of(of_latents.output)["compute"]
    assert compute["generation"] == pytest.approx(6 * 0.5 + 3 * 0.5)
    assert compute["scoring"] == compute["decoding"] == 3
    before = {one.key: one for one in Pool(of_latents.output / "pool")}
    options = {name: getattr(of_latents, name) for name in ("generator", "seconds", "sampling_steps", "n")}
    best_of_n(BestOfN(**options, **shared))
    after = {one.key: one for one in Pool(of_latents.output / "pool")}
    assert len(after) == 12
    assert before.items() <= after.items()


def test_without_guidance_there_is_no_gap(of_latents):
    with pytest.raises(InputError, match="samples without guidance"):
        main(replace(of_latents, method="cfg", guidance=1.0))
    assert not (of_latents.output / "pool" / "search.json").exists()


def test_previews_of_latents_are_whole_clips(of_latents):
    main(replace(of_latents, schedule="0.5=0.5"))
    compute = summary_of(of_latents.output)["compute"]
    assert compute["scoring"] == compute["decoding"] == pytest.approx(6 + 3)


METHODS = {"noise": 6, "particles": 6, "evolve": 6 + 2 + 2 + 2 + 4, "random": 6}


@pytest.mark.parametrize("method", METHODS)
def test_methods_finish_what_they_say_and_a_kill_changes_nothing(of_latents, method):
    config = replace(of_latents, method=method)
    start = time.perf_counter()
    main(config)
    duration = time.perf_counter() - start
    pool = Pool(config.output / "pool")
    assert len(pool) == 2 * METHODS[method]
    assert len({one.sha256 for one in pool}) == len(pool)  # no two are alike
    assert all(one.seed == candidate_seed(0, one.prompt_id, one.candidate) for one in pool)
    summary = summary_of(config.output)
    assert summary["finished"]["per_prompt"] == METHODS[method]
    if method in ("noise", "random"):
        assert summary["compute"]["clips_per_prompt"] == pytest.approx(6)
    if method == "random":
        return
    killed = config.output.parent / "killed"
    child = os.fork()
    if child == 0:
        try:
            main(replace(config, output=killed, at_once=1))
        finally:
            os._exit(0)
    time.sleep(0.5 * duration)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    main(replace(config, output=killed))
    assert finished(killed) == finished(config.output)


@pytest.mark.parametrize("method", ["noise", "evolve"])
def test_what_they_make_is_no_candidate_of_best_of_n(of_latents, shared, method):
    main(replace(of_latents, method=method, limit=1))
    before = contents(of_latents.output / "pool")
    options = {name: getattr(of_latents, name) for name in ("generator", "seconds", "sampling_steps", "n")}
    with pytest.raises(InputError, match="made with another spec"):
        best_of_n(BestOfN(**options, **shared))
    assert contents(of_latents.output / "pool") == before


def test_a_better_neighbour_is_followed(of_latents):
    """The search leaves its first noise behind, which is that of the first candidate of best of n."""
    main(replace(of_latents, method="noise", n=20))
    main(replace(of_latents, method="random", n=1, output=of_latents.output.parent / "random"))
    found, first = (summary_of(of_latents.output)[name]["reward"]["mean"] for name in ("chosen", "single"))
    assert found > first
    assert summary_of(of_latents.output.parent / "random")["single"]["reward"]["mean"] == pytest.approx(first)


def test_particles_of_codes_go_on_with_randomness_of_their_own(of_codes):
    main(replace(of_codes, method="particles", tempering=50.0, looks="0.5"))
    pool = Pool(of_codes.output / "pool")
    assert len(pool) == 12
    assert len({one.sha256 for one in pool}) == 12
    for looks in read_looks(of_codes.output / "pool").values():
        best = max(looks, key=lambda look: look.reward)
        assert [look.candidate for look in looks if look.kept] == [best.candidate]
        codes = [pool.tokens(one) for one in pool if one.prompt_id == pool.candidates[0].prompt_id]
    beginnings = {tuple(one[..., 0].flatten().tolist()) for one in codes}
    assert len(beginnings) == 1  # all come from one


@pytest.mark.parametrize("method", ["noise", "evolve"])
def test_what_has_no_noise_is_refused(of_codes, method):
    with pytest.raises(InputError, match="starts from no noise"):
        main(replace(of_codes, method=method))


def test_evolution_needs_steps(of_latents):
    with pytest.raises(InputError, match="--method evolve needs at least 5 steps, got 4"):
        main(replace(of_latents, method="evolve", sampling_steps=4))
    with pytest.raises(InputError, match="population of at least 2, got --n 1"):
        Evolve(1)


def test_noise_is_turned_as_far_as_it_is_said_to_be():
    pivot, drawn = torch.randn(2, 4, 25, generator=torch.Generator().manual_seed(0))
    found = turned(pivot, drawn, 0.95)
    assert found.norm() == pytest.approx(float(pivot.norm()), rel=1e-5)
    cosine = (found * pivot).sum() / pivot.norm() ** 2
    assert float(cosine) == pytest.approx(0.95, rel=1e-5)
    assert angle(found, drawn) < angle(pivot, drawn)


def test_the_angle_of_noises():
    noise, other = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    assert angle(noise, noise) == 0
    assert angle(noise, -2 * noise) == pytest.approx(180)
    assert angle(noise, other) == pytest.approx(90, abs=3)
    assert angle(noise, turned(noise, other, 0.5)) == pytest.approx(60, rel=1e-5)


def test_particles_are_drawn_by_their_weights():
    assert systematic(np.array([0.5, 0.25, 0.25, 0.0]), 0.5).tolist() == [0, 0, 1, 2]
    counts = np.zeros(3)
    weights = np.array([0.6, 0.3, 0.1])
    for draw in np.linspace(0, 1, 101)[:-1]:
        counts += np.bincount(systematic(weights, draw), minlength=3)
    assert counts / 300 == pytest.approx(weights, abs=0.01)
    assert z_scores(np.array([1.0, 1.0])).tolist() == [0, 0]


@pytest.mark.parametrize("text", ["", "0.5,0.5", "0.5,0.2", "0", "1", "half"])
def test_what_are_no_looks_is_refused(text):
    with pytest.raises(InputError, match="--looks"):
        parse_shares(text)


def test_a_tempering_is_above_0():
    with pytest.raises(InputError, match="--tempering must be above 0, got 0"):
        Particles(4, (0.5,), 0.0)
