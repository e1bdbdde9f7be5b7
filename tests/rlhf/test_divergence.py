"""How far a model went: nothing for the same one, k3 of its own codes, and the same in whatever batch."""

import pytest
import torch

from generators import fill_pool, load_generator
from music.pool import Pool
from music.processes import Processes
from reward import ScoreRequest
from rlhf.assessment.divergence import divergence_between, measure_divergence, sampled
from rlhf.musicgen.divergence import k3
from rlhf.musicgen.policy import IGNORED, MusicgenPolicy, flat_codes
from tests.rlhf.conftest import PROMPTS, SECONDS
from tests.rlhf.trained_models import STABLE_AUDIO, moved_model

CPU = torch.device("cpu")


@pytest.fixture(params=["musicgen", "stable_audio"])
def pair(request, tmp_path, tiny):
    """Return the generators of a base and of a model that has moved, and the pool of the latter."""
    if request.param == "musicgen":
        base, options = tiny, {"temperature": 0.9, "guidance": 2.0}
        model = moved_model(base, tmp_path / "model", 0.02)
    else:
        base, options = request.getfixturevalue("tiny_stable_audio"), {"steps": 3}
        model = moved_model(base, tmp_path / "model", 0.02, STABLE_AUDIO)
    one, other = (load_generator(folder, device="cpu", **options) for folder in (base, model))
    return one, other, filled(other, tmp_path / "pool")


def filled(generator, folder):
    pool = Pool(folder, create=True)
    fill_pool(generator, PROMPTS, 3, SECONDS, pool, 0, Processes())
    return pool


def measured(base, model, pool):
    candidates = pool.candidates_of(PROMPTS, 3)
    return measure_divergence(sampled(base), sampled(model), pool, candidates, CPU, Processes())


def requests(pool):
    return [ScoreRequest(pool.path(candidate), pool.prompt(candidate)) for candidate in pool]


def test_a_model_that_moved_diverges_and_its_numbers_are_kept(pair, monkeypatch):
    base, model, pool = pair
    found = measured(base, model, pool)
    assert all(values.shape == (4, 3) and (values > 1e-6).all() for values in found.values())
    table = pool.folder / "scores" / "divergence.jsonl"
    written = table.read_bytes()
    again = measured(base, model, pool)
    assert all((found[name] == again[name]).all() for name in found)
    assert table.read_bytes() == written
    assert all((values == 0).all() for values in measured(base, base, pool).values())


def test_equal_weights_diverge_by_exactly_nothing(pair):
    """Also where both are computed."""
    base, _, pool = pair
    for found in divergence_between(sampled(base), sampled(base), pool, CPU).score(requests(pool)):
        assert set(found.values()) == {0.0}


def test_what_is_measured_does_not_depend_on_the_batch(pair):
    base, model, pool = pair
    divergence = divergence_between(sampled(base), sampled(model), pool, CPU)
    for request, found in zip(requests(pool), divergence.score(requests(pool)), strict=True):
        assert divergence.score([request]) == [pytest.approx(found, rel=1e-4, abs=1e-7)]


def test_k3_is_that_of_the_codes_and_estimates_the_divergence(tiny, tmp_path):
    model = moved_model(tiny, tmp_path / "model", 0.02)
    one, other = (load_generator(folder, device="cpu", temperature=0.9) for folder in (tiny, model))
    pool = filled(other, tmp_path / "pool")
    found = measured(one, other, pool)
    candidate = pool.candidates_of(PROMPTS, 3)[1][2]
    codes = pool.tokens(candidate).long()
    ids = other._conditioner._tokenizer(candidate.text)["input_ids"]
    row, labels = (torch.tensor([[*start, *flat_codes(codes)]]) for start in (ids, [IGNORED] * len(ids)))
    with torch.no_grad():
        own, before = (
            MusicgenPolicy(each._model, 3.0, 0.9)(row, torch.ones_like(row), labels).log_probs[0].double()
            for each in (other, one)
        )
    ratio = before.exp() / own.exp()
    expected = (ratio - ratio.log() - 1)[len(ids) - 1 :]
    assert len(expected) == codes.numel()
    assert found["k3_per_clip"][1, 2] == pytest.approx(float(expected.sum()), rel=1e-4)
    assert found["k3_per_code"][1, 2] == pytest.approx(float(expected.mean()), rel=1e-4)


def test_the_mean_of_k3_is_the_divergence():
    generator = torch.Generator().manual_seed(0)
    own, before = torch.randn(2, 9, generator=generator).double().log_softmax(1)
    each = k3(own, before)
    assert (each >= 0).all()
    exact = (own.exp() * (own - before)).sum()
    assert float((own.exp() * each).sum()) == pytest.approx(float(exact))
    assert (k3(own, own) == 0).all()


def test_a_nearer_model_diverges_less(tiny_stable_audio, tmp_path):
    base = load_generator(tiny_stable_audio, device="cpu", steps=3)
    means = []
    for size in (0.005, 0.02):
        folder = moved_model(tiny_stable_audio, tmp_path / f"model{size}", size, STABLE_AUDIO)
        model = load_generator(folder, device="cpu", steps=3)
        means.append(measured(base, model, filled(model, tmp_path / f"pool{size}"))["velocity_mse"].mean())
    assert 0 < 4 * means[0] < means[1]


def test_other_generators_and_other_sampling_have_no_divergence(tiny, tmp_path):
    one, warmer = (load_generator(tiny, device="cpu", temperature=heat) for heat in (1.0, 1.1))
    pool = filled(one, tmp_path / "pool")
    listed = load_generator(f"folder:{pool.folder}")
    assert measured(warmer, one, pool) == measured(listed, one, pool) == measured(one, listed, pool) == {}
