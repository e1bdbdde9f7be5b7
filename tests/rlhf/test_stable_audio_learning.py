"""What a diffusion transformer learns from judged clips, and that a kill or a second process does not matter."""

import signal
from dataclasses import replace

import pytest
import torch

pytest.importorskip("diffusers")

from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.denoiser import Denoiser
from generators.stable_audio.diffusers.loading import load_parts
from generators.stable_audio.velocity_target import times_of
from music import training_state as train_state
from music.errors import InputError
from music.processes import Processes
from rlhf.options import MEANS, Optimisation
from rlhf.stable_audio.batches import Batches, Example
from rlhf.stable_audio.losses import VelocityLoss, error, forward_process, preference
from rlhf.stable_audio.model import VelocityModel
from rlhf.stable_audio.training import learn
from tests.rlhf.trained_models import log_of

HOW = Optimisation(steps=6, learning_rate=0.01, batch_size=4, micro_batch_size=2, lora_r=2, save_every=2)


def example(seed, **fields):
    latents = torch.randn(8, 16, generator=torch.Generator().manual_seed(seed))
    return Example("piano" if seed % 2 else "drums", latents, **fields)


@pytest.fixture
def parts(tiny_stable_audio):
    return lambda: load_parts(tiny_stable_audio, torch.device("cpu"), torch.float32)


def train(parts, examples, algorithm, folder, how=HOW, **options):
    loss = VelocityLoss(algorithm, **{"loss": "dpo", "beta": 2.0, "winner": 0.0, "guidance": 1.0, **options})
    transformer = learn(parts(), examples, 8.0, how, loss, folder, Processes())
    return transformer, log_of(folder)


def error_of(parts, transformer, examples):
    """Return the mean error of a transformer on examples, with noise of other steps than those it learned from."""
    own = parts()
    batches = Batches(examples, own, 8.0, Optimisation(steps=50, batch_size=4, seed=9))
    model = VelocityModel(own.transformer, 2, 0)
    model.transformer = transformer
    with torch.no_grad():
        return sum(
            error(model(clips), clips.target).mean().item()
            for clips in (batches.of(number, range(4)) for number in range(12))
        )


def test_the_losses_are_those_of_their_papers():
    winner, loser, before = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([2.0])
    gap = (1.0 - 2.0) - (3.0 - 2.0)
    found = preference(winner, loser, before, before, "dpo", 0.5, 0.1)
    assert found.item() == pytest.approx(torch.log1p(torch.tensor(0.5 * gap).exp()).item() + 0.1 * 0.5 / 2)
    found = preference(winner, loser, before, before, "ipo", 0.5, 0.0)
    assert found.item() == pytest.approx((-gap - 1.0) ** 2)
    old, new, target = torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.full((1, 2, 3), 0.5)
    optimality = torch.tensor([0.75])
    assert forward_process(new, old, target, optimality, 1.0).item() == pytest.approx(
        0.75 * 0.25 + 0.25 * 2.25
    )
    assert forward_process(new, old, target, optimality, 0.5).item() == pytest.approx(0.75 * 0.0 + 0.25 * 1.0)


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
@pytest.mark.parametrize("beta", [0.5, 1000.0])
def test_the_winners_own_loss_pulls_in_proportion_to_the_preference(loss, beta):
    """Where the training begins, and whatever beta is."""

    def pull(own):
        winner = torch.full((3,), 0.7, requires_grad=True)
        preference(
            winner, winner.detach(), winner.detach(), winner.detach(), loss, beta, own
        ).sum().backward()
        return winner.grad

    torch.testing.assert_close(pull(0.1), 1.1 * pull(0.0))


def test_clips_that_are_imitated_are_better_denoised(parts, tmp_path):
    examples = [example(seed) for seed in range(4)]
    how = replace(HOW, steps=60, micro_batch_size=4, lora_r=8, save_every=60)
    transformer, log = train(parts, examples, "expert_iteration", tmp_path, how)
    assert error_of(parts, transformer, examples) < 0.9 * error_of(parts, parts().transformer, examples)
    assert log[0]["moved"] == 0.0
    assert log[-1]["moved"] > 0.0


@pytest.mark.parametrize("guidance", [1.0, 7.0])
def test_velocities_are_those_of_the_sampling(parts, guidance):
    own = parts()
    clips = Batches([example(seed) for seed in (1, 3, 5)], own, 8.0, HOW).of(0, [0, 1, 2])
    conditioner = StableAudioConditioner(own.tokenizer, own.text_encoder, own.projection_model)
    conditions = conditioner.batch(["piano"] * 3, 8.0, "", guided=guidance > 1)
    denoiser = Denoiser(own.transformer, conditions, guidance, 16)
    times = times_of(clips.sigmas)
    sampled = torch.cat([denoiser.predict(clips.noisy, time)[[row]] for row, time in enumerate(times)])
    with torch.no_grad():
        learned = VelocityModel(own.transformer, 2, 0, guidance)(clips)
    torch.testing.assert_close(learned, sampled, atol=1e-4, rtol=1e-4)


def test_winners_gain_on_losers(parts, tmp_path):
    pairs = [example(seed, loser=example(seed + 50).latents) for seed in range(4)]
    how = replace(HOW, steps=40, micro_batch_size=4, lora_r=8, save_every=40)
    _, log = train(parts, pairs, "dpo", tmp_path, how, beta=20.0)
    assert log[0]["margin"] == 0.0
    assert sum(row["margin"] for row in log[-5:]) > 0.02
    assert sum(row["right"] for row in log[-5:]) / 5 > 0.8


def test_good_clips_are_approached_and_bad_ones_left(parts, tmp_path):
    good = [example(seed, optimality=1.0) for seed in range(4)]
    bad = [example(seed + 50, optimality=0.0) for seed in range(4)]
    how = replace(
        HOW, steps=60, learning_rate=0.005, batch_size=8, micro_batch_size=8, lora_r=8, save_every=60
    )
    transformer, _ = train(parts, [*good, *bad], "nft", tmp_path, how, beta=1.0)
    gained = {
        name: error_of(parts, parts().transformer, some) - error_of(parts, transformer, some)
        for name, some in (("good", good), ("bad", bad))
    }
    assert gained["good"] > gained["bad"]


@pytest.mark.parametrize("algorithm", ["expert_iteration", "dpo", "nft"])
def test_a_killed_training_ends_with_the_same_weights(parts, tmp_path, monkeypatch, algorithm):
    examples = [
        example(seed, loser=example(seed + 50).latents if algorithm == "dpo" else None, optimality=0.3)
        for seed in range(5)
    ]
    whole, log = train(parts, examples, algorithm, tmp_path / "whole")
    save, saved = train_state.TrainState.save, []

    def die(state, *rest):
        save(state, *rest)
        saved.append(state.step)
        if state.step == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_state.TrainState, "save", die)
        with pytest.raises(KeyboardInterrupt):
            train(parts, examples, algorithm, tmp_path / "killed")
    assert saved == [2, 4]
    again, log_again = train(parts, examples, algorithm, tmp_path / "killed")
    assert log_again == log
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_signal_ends_a_step_and_the_next_run_goes_on_from_there(parts, tmp_path, monkeypatch):
    examples, how = (
        [example(seed, optimality=0.3) for seed in range(4)],
        replace(HOW, steps=3, save_every=100),
    )
    add, logged = train_state.TrainLog.add, []

    def add_and_signal(log, row):
        logged.append(row["step"])
        if logged == [1]:
            signal.raise_signal(signal.SIGTERM)
        add(log, row)

    monkeypatch.setattr(train_state.TrainLog, "add", add_and_signal)
    with pytest.raises(KeyboardInterrupt, match="the state after step 1 of 3 is saved"):
        train(parts, examples, "nft", tmp_path, how)
    _, log = train(parts, examples, "nft", tmp_path, how)
    assert logged == [row["step"] for row in log] == [1, 2, 3]


def test_a_tracker_is_told_what_the_log_is_and_changes_nothing(parts, tmp_path, monkeypatch):
    """Nor do the other means: a training goes on with less memory, after the end of which it was killed."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    examples, how = [example(seed, optimality=0.3) for seed in range(4)], replace(HOW, steps=3, save_every=1)
    whole, _ = train(parts, examples, "nft", tmp_path / "whole", how)
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", raise_at(3, torch.OutOfMemoryError))
        with pytest.raises(torch.OutOfMemoryError):
            train(parts, examples, "nft", tmp_path / "killed", how)
    means = {"micro_batch_size": 1, "gradient_checkpointing": True, "save_every": 2, "tracker": "tensorboard"}
    assert set(means) == set(MEANS)
    again, log = train(parts, examples, "nft", tmp_path / "killed", replace(how, **means))
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    folder = next(path.parent for path in (tmp_path / "killed").rglob("events.out.tfevents*"))
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [3]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([log[2]["loss"]])
    with pytest.raises(InputError, match="learning_rate was"):
        train(parts, examples, "nft", tmp_path / "killed", replace(how, learning_rate=0.5))


def raise_at(call, error):
    """Return a method that raises when it is called so often, and does nothing else than the optimiser's before."""
    step, calls = torch.optim.AdamW.step, []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise error
        return step(*arguments, **options)

    return counted


def test_what_is_learned_does_not_depend_on_how_a_batch_is_cut(parts, tmp_path):
    examples = [example(seed) for seed in range(5)]
    found = [
        train(
            parts,
            examples,
            "expert_iteration",
            tmp_path / str(size),
            replace(HOW, steps=3, micro_batch_size=size),
        )
        for size in (1, 4)
    ]
    for one, other in zip(*(transformer.parameters() for transformer, _ in found), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_pair_shares_its_noise(parts):
    pair = example(1, loser=example(2).latents)
    clips = Batches([pair], parts(), 8.0, HOW).of(0, [0, 1])
    assert clips.noisy.shape[0] == 4
    assert torch.equal(clips.sigmas[:2], clips.sigmas[2:])
    scale = (1 + clips.sigmas.square()).rsqrt()[:, None, None]
    noise = (clips.noisy / scale - torch.stack([pair.latents] * 2 + [pair.loser] * 2)) / clips.sigmas[
        :, None, None
    ]
    assert torch.allclose(noise[:2], noise[2:], atol=1e-3)
