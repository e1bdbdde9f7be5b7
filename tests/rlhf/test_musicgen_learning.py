"""What TRL's trainers make of the policy: they learn what they should, begin at the reference, and survive a kill."""

import signal
import weakref
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid

from generators.musicgen.loading import load_model
from generators.protocol import Job
from music.distributed.accelerating import make_accelerator
from music.errors import InputError
from music.hashing import candidate_seed
from music.processes import Processes
from reward import RewardWeights, load_scorer
from rlhf.choosing import turns_of
from rlhf.guarded_reward import REWARD, ClipReward
from rlhf.musicgen import trl_settings
from rlhf.musicgen.offline import Preference, imitate, prefer
from rlhf.musicgen.online import Exploration, Rollouts, explore
from rlhf.musicgen.policy import IGNORED, MusicgenPolicy, flat_codes
from rlhf.musicgen.trl_settings import TrlRun, updated_weights
from rlhf.options import Optimisation
from rlhf.streams import Purpose, stream
from tests.rlhf.conftest import PROMPTS, SECONDS
from tests.rlhf.trained_models import log_of
from tests.small_files import small_files

HOW = Optimisation(steps=6, learning_rate=0.01, batch_size=8, micro_batch_size=4, lora_r=4, save_every=2)
LOUD = ClipReward(load_scorer("loudness"), RewardWeights({"loudness": 1.0}))


def high_codes(samples):
    """Return as reward the share of codes in the upper half of the codebooks."""
    return [{REWARD: float((sample.tokens >= 32).float().mean())} for sample in samples]


def clips(sampler, count=4):
    """Return texts and codes of some clips."""
    jobs = [Job(one, index, candidate_seed(1, one.id, index)) for one in PROMPTS for index in range(count)]
    return [(one.job.prompt.text, one.tokens.long()) for one in sampler.generate(jobs, SECONDS)]


def likelihood(policy, tokenizer, examples):
    """Return the mean log-probability of codes."""
    found = []
    for text, codes in examples:
        ids, flat = tokenizer(text)["input_ids"], flat_codes(codes)
        row = torch.tensor([[*ids, *flat]])
        with torch.no_grad():
            loss = policy(row, torch.ones_like(row), torch.tensor([[IGNORED] * len(ids) + flat])).loss
        found.append(-loss.item())
    return sum(found) / len(found)


def test_clips_that_are_imitated_become_likelier(policy_and_tokenizer, sampler, tmp_path):
    policy, tokenizer = policy_and_tokenizer
    examples = clips(sampler)
    before = likelihood(policy, tokenizer, examples)
    how = replace(HOW, steps=10)
    trained = imitate(TrlRun(policy, tokenizer, how, tmp_path, "cpu", Processes({})), examples)
    own = trained.get_base_model()
    assert likelihood(own, tokenizer, examples) > before + 0.1
    first = log_of(tmp_path)[0]["loss"]
    assert first == pytest.approx(-before, abs=0.4)  # of another half of the examples
    with trained.disable_adapter():
        assert likelihood(own, tokenizer, examples) == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "rates"), [(1, [0.01]), (20, [0.005, 0.01, 0.01])], ids=["one step", "a rise"]
)
def test_every_step_learns(policy_and_tokenizer, sampler, tmp_path, steps, rates):
    """The rate rises over a tenth of the steps, and does not begin at 0."""
    policy, tokenizer = policy_and_tokenizer
    how = replace(HOW, steps=steps, batch_size=2, micro_batch_size=2, save_every=100)
    assert [how.rate_at(step) for step in range(len(rates))] == rates
    trained = imitate(TrlRun(policy, tokenizer, how, tmp_path, "cpu", Processes({})), clips(sampler, 1))
    logged = [row["learning_rate"] for row in log_of(tmp_path) if "learning_rate" in row]
    assert logged[: len(rates)] == rates
    if steps == 1:
        assert any(bool(weight.any()) for name, weight in trained.named_parameters() if "lora_B" in name)


def test_a_training_goes_on_with_less_memory(tiny, sampler, tmp_path, monkeypatch):
    made = clips(sampler, 1)

    def train(folder, how):
        model, tokenizer = load_model(tiny, torch.device("cpu"), torch.float32)
        run = TrlRun(MusicgenPolicy(model, 3.0, 1.0), tokenizer, how, folder, "cpu", Processes({}))
        return dict(updated_weights(imitate(run, made).get_base_model().musicgen.decoder))

    how = replace(HOW, steps=4, batch_size=4)
    whole = train(tmp_path / "whole", how)
    with monkeypatch.context() as patched:
        patched.setattr(trl_settings.LogFile, "on_step_end", die)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", how)
    less = replace(how, micro_batch_size=1, gradient_checkpointing=True)
    for name, weight in train(tmp_path / "killed", less).items():
        assert torch.allclose(weight, whole[name], atol=1e-4), name
    assert [row["step"] for row in log_of(tmp_path / "killed") if "loss" in row] == [1, 2, 3, 4]


@pytest.mark.parametrize("algorithm", ["imitate", "prefer"])
def test_every_step_learns_from_a_whole_batch(policy_and_tokenizer, sampler, tmp_path, algorithm):
    """Also where examples do not divide: they come in turns, whatever number of processes shares them."""
    policy, tokenizer = policy_and_tokenizer
    how, made = replace(HOW, steps=3, batch_size=2, micro_batch_size=1), clips(sampler, 1)[:3]
    heard = []
    policy.musicgen.text_encoder.register_forward_hook(
        lambda _, __, given, ___: heard.extend(map(str, given["input_ids"].tolist())), with_kwargs=True
    )
    run = TrlRun(policy, tokenizer, how, tmp_path, "cpu", Processes({}))
    if algorithm == "imitate":
        imitate(run, made)
    else:
        prefer(run, [(text, codes, codes[:, :7]) for text, codes in made], Preference())
        heard = heard[::4]  # a pair is read at once, by policy and reference
    ids = [str(tokenizer(text)["input_ids"]) for text, _ in made]
    turns = turns_of(ids, 6, stream(how.seed, Purpose.ORDER))
    assert heard == turns
    assert {row["step"] for row in log_of(tmp_path) if "loss" in row} == {1, 2, 3}


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_winners_become_likelier_than_losers(policy_and_tokenizer, sampler, tmp_path, loss):
    policy, tokenizer = policy_and_tokenizer
    made = clips(sampler)
    pairs = [
        (text, winner, loser[:, :7]) for (text, winner), (_, loser) in zip(made[::2], made[1::2], strict=True)
    ]
    trained = prefer(
        TrlRun(policy, tokenizer, HOW, tmp_path, "cpu", Processes({})), pairs, Preference(loss, winner=1.0)
    )
    winners = [(text, winner) for text, winner, _ in pairs]
    losers = [(text, loser) for text, _, loser in pairs]
    own = trained.get_base_model()
    gained = [likelihood(own, tokenizer, one) for one in (winners, losers)]
    with trained.disable_adapter():
        before = [likelihood(own, tokenizer, one) for one in (winners, losers)]
    assert gained[0] - before[0] > gained[1] - before[1]
    if loss == "dpo":  # ipo's own loss is so much larger that the winners' likelihood does not weigh
        assert gained[0] > before[0]
    assert log_of(tmp_path)[0]["rewards/margins"] == 0.0  # the reference is the beginning


@pytest.mark.parametrize("loss", ["dpo", "ipo"])
def test_preferences_are_of_means_over_codes(tiny, sampler, tmp_path, loss):
    """So that beta means the same for clips of any length, and the winner's own loss stays in proportion."""
    texts, beta, own = clips(sampler, 1), 20.0, 0.5
    pairs = [
        (text, codes, other[:, :7]) for (text, codes), (_, other) in zip(texts, texts[::-1], strict=True)
    ]

    def train(steps):
        how = replace(HOW, steps=steps, batch_size=4, save_every=100, learning_rate=0.002)
        model, tokenizer = load_model(tiny, torch.device("cpu"), torch.float32)
        run = TrlRun(
            MusicgenPolicy(model, 3.0, 1.0), tokenizer, how, tmp_path / str(steps), "cpu", Processes({})
        )
        trained = prefer(run, pairs, Preference(loss, beta, own))
        return trained, tokenizer, [row["loss"] for row in log_of(tmp_path / str(steps)) if "loss" in row]

    trained, tokenizer, (first,) = train(1)
    policy = trained.get_base_model()
    expected = []
    for text, winner, loser in pairs:
        now = [likelihood(policy, tokenizer, [(text, one)]) for one in (winner, loser)]
        with trained.disable_adapter():
            before = [likelihood(policy, tokenizer, [(text, one)]) for one in (winner, loser)]
        gap = torch.tensor((now[0] - before[0]) - (now[1] - before[1]))
        preferred = -logsigmoid(beta * gap) if loss == "dpo" else (gap - 1 / (2 * beta)) ** 2
        expected.append(preferred.item() - own * (beta / 2 if loss == "dpo" else 1 / beta) * now[0])
    assert train(2)[2] == [first, pytest.approx(sum(expected) / 4, rel=1e-3)]


def test_a_checkpoint_on_a_full_disk_is_one_line_and_the_run_is_taken_up(tiny, sampler, tmp_path):
    from generators.musicgen.loading import load_model
    from rlhf.musicgen.policy import MusicgenPolicy

    made = clips(sampler, 2)
    how = replace(HOW, steps=4)

    def train(folder):
        model, tokenizer = load_model(tiny, torch.device("cpu"), torch.float32)
        run = TrlRun(MusicgenPolicy(model, 3.0, 1.0), tokenizer, how, folder, "cpu", Processes({}))
        return dict(updated_weights(imitate(run, made).get_base_model().musicgen.decoder))

    whole = train(tmp_path / "whole")
    last, folder = max((tmp_path / "whole").glob("checkpoint-*")), tmp_path / "full"
    for name in ("adapter_model.safetensors", "optimizer.pt"):
        with (
            pytest.raises(InputError, match=rf"cannot write {folder}: .*; free space"),
            small_files((last / name).stat().st_size - 100),
        ):
            train(folder)
    for name, weight in train(folder).items():
        assert torch.equal(weight, whole[name]), name


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_exploring_begins_at_the_reference_and_raises_the_reward(
    policy_and_tokenizer, sampler, tmp_path, algorithm
):
    policy, tokenizer = policy_and_tokenizer
    how = replace(HOW, steps=16, learning_rate=0.03, batch_size=16, micro_batch_size=16, save_every=50)
    exploration = Exploration(algorithm, group_size=8, seconds=SECONDS, beta=0.001)
    explore(
        TrlRun(policy, tokenizer, how, tmp_path, "cpu", Processes({})),
        sampler,
        PROMPTS,
        high_codes,
        exploration,
    )
    log = [row for row in log_of(tmp_path) if "reward" in row]
    assert log[0]["kl"] == 0.0
    assert log[0]["clip_ratio/region_mean"] == 0.0
    assert log[0]["metrics/reward"] == pytest.approx(log[0]["reward"])
    rewards = [row["metrics/reward"] for row in log]
    assert sum(rewards[-4:]) > sum(rewards[:4]) + 4 * 0.1


def test_trl_follows_the_options_and_not_the_environment(policy_and_tokenizer, tmp_path, monkeypatch):
    from trl import SFTConfig

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    for dtype, precision in {"float32": "no", "bfloat16": "bf16"}.items():
        how = replace(HOW, dtype=dtype)
        make_accelerator(Processes({}), torch.device("cpu"), how.mixed_precision, takes_fsdp=True)
        run = TrlRun(*policy_and_tokenizer, how, tmp_path, "cpu", Processes({}))
        assert SFTConfig(**run.arguments()).mixed_precision == precision


def test_rollouts_are_the_candidates_of_turn_and_place(policy_and_tokenizer, sampler):
    policy, _ = policy_and_tokenizer
    turns = turns_of(PROMPTS, 10, stream(3, Purpose.ORDER))
    assert (
        {prompt.id for prompt in turns[:4]}
        == {prompt.id for prompt in turns[4:8]}
        == {"p0", "p1", "p2", "p3"}
    )
    assert turns == turns_of(PROMPTS, 12, stream(3, Purpose.ORDER))[:10]
    rollouts = Rollouts(sampler, turns, Exploration(group_size=4, seconds=SECONDS, seed=5))
    whole = rollouts.make(policy, [2] * 4 + [3] * 4, first=0)
    half = rollouts.make(policy, [3] * 4, first=4)
    for one, other in zip(whole[4:], half, strict=True):
        assert one.job == other.job
        assert torch.equal(one.tokens, other.tokens)
    assert [one.job.candidate for one in half] == [12, 13, 14, 15]
    assert {one.job.prompt.id for one in half} == {turns[3].id}
    assert len({tuple(one.tokens.flatten().tolist()) for one in whole}) == 8


def test_the_sampler_follows_the_policy(policy_and_tokenizer, sampler):
    from peft import get_peft_model

    from generators.musicgen.generator import MusicGen
    from rlhf.musicgen.trl_settings import lora_config

    policy, _ = policy_and_tokenizer
    job = [Job(PROMPTS[1], 0, 7)]
    assert isinstance(sampler, MusicGen)
    before = next(sampler.generate(job, SECONDS)).tokens
    trained = get_peft_model(policy, lora_config(4))
    sampler.change_decoder(updated_weights(policy.musicgen.decoder))
    assert torch.equal(next(sampler.generate(job, SECONDS)).tokens, before)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    sampler.change_decoder(updated_weights(policy.musicgen.decoder))
    assert not torch.equal(next(sampler.generate(job, SECONDS)).tokens, before)


def test_updated_weights_exist_one_at_a_time(policy_and_tokenizer, sampler):
    """A dense copy of all of them, in each step, would be another decoder in memory."""
    from peft import get_peft_model

    from rlhf.musicgen.trl_settings import lora_config

    policy, _ = policy_and_tokenizer
    get_peft_model(policy, lora_config(4))
    seen = []

    def watched():
        for name, weight in updated_weights(policy.musicgen.decoder):
            assert not any(one() is not None for one in seen)
            seen.append(weakref.ref(weight))
            yield name, weight
            del weight

    own = sampler._model.decoder.model.decoder.layers[0].fc1.weight
    place = own.data_ptr()
    sampler.change_decoder(watched())
    assert len(seen) > 8
    assert sampler._model.decoder.model.decoder.layers[0].fc1.weight.data_ptr() == place


def die(callback, args, state, control, **_):
    if state.global_step == 3:
        raise KeyboardInterrupt


def stop(callback, args, state, control, **_):
    if state.global_step == 3:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("algorithm", "ends", "save_every"),
    [("imitate", die, 2), ("prefer", die, 2), ("grpo", die, 2), ("grpo", stop, 100)],
)
def test_a_killed_training_ends_with_the_same_weights(
    tiny, sampler, tmp_path, monkeypatch, algorithm, policy_and_tokenizer, ends, save_every
):
    from generators.musicgen.loading import load_model
    from rlhf.musicgen.policy import MusicgenPolicy

    made = clips(sampler)

    def train(folder):
        model, tokenizer = load_model(tiny, torch.device("cpu"), torch.float32)
        policy, how = MusicgenPolicy(model, 3.0, 1.0), replace(HOW, save_every=save_every)
        run = TrlRun(policy, tokenizer, how, folder, "cpu", Processes({}))
        if algorithm == "imitate":
            found = imitate(run, made)
        elif algorithm == "prefer":
            pairs = [(text, one, two) for (text, one), (_, two) in zip(made[::2], made[1::2], strict=True)]
            found = prefer(run, pairs, Preference())
        else:
            found = explore(run, sampler, PROMPTS, LOUD, Exploration(group_size=4, seconds=SECONDS))
        return dict(updated_weights(found.get_base_model().musicgen.decoder))

    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(trl_settings.LogFile, "on_step_end", ends)
        with pytest.raises(KeyboardInterrupt, match="the state after step 3 of 6" if ends is stop else None):
            train(tmp_path / "killed")
    assert (tmp_path / "killed" / "checkpoint-3").exists() == (ends is stop)
    (tmp_path / "killed" / "checkpoint-9").mkdir()  # what a kill within a save leaves
    again = train(tmp_path / "killed")
    for name, weight in whole.items():
        assert torch.equal(weight, again[name]), name
    strip = [
        {key: value for key, value in row.items() if "time" not in key and "per_second" not in key}
        for folder in ("whole", "killed")
        for row in log_of(tmp_path / folder)
        if "loss" in row
    ]
    assert strip[: len(strip) // 2] == strip[len(strip) // 2 :]
