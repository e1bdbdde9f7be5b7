"""The policy: probabilities are those of the sampler, whatever the padding, and TRL's contract is the one we know."""

import dataclasses
import inspect

import pytest
import torch

from generators import load_generator
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.incremental_decoder import IncrementalDecoder
from generators.musicgen.sampling import write_codes
from music.prompts import Prompt
from rlhf.musicgen.policy import IGNORED, MusicgenPolicy, flat_codes
from tests.tiny_musicgen import build_tiny_musicgen

TEXTS = ("slow piano", "a loud and fast drum loop with a bass", "x")


@pytest.fixture(scope="module", params=[1, 2], ids=["mono", "stereo"])
def folder(request, tmp_path_factory):
    return build_tiny_musicgen(
        tmp_path_factory.mktemp("musicgen"), vocabulary=1_024, channels=request.param, codebooks=2
    )  # more codes than there are words


@pytest.fixture(params=[1.0, 3.0], ids=["unguided", "guided"])
def generator(request, folder):
    return load_generator(
        folder, device="cpu", guidance=request.param, top_k=0, temperature=0.9, batch_size=4
    )


@pytest.fixture
def policy(generator):
    return MusicgenPolicy(generator._model, generator.options.guidance, generator.options.temperature)


def sampled(generator, frames):
    """Return codes of `TEXTS` and the log-probabilities with which the sampler drew them, both [B, K, frames]."""
    model, prompts = generator._model, [Prompt(text, text) for text in TEXTS]
    conditioner = generator._conditioner
    length = max(conditioner.padded_length(prompt) for prompt in prompts)
    pattern = DelayPattern(generator._codebooks, generator.channels, frames)
    noise, drawn = torch.Generator().manual_seed(0), []

    def choose(logits):
        probabilities = torch.log_softmax(logits / generator.options.temperature, -1)
        tokens = torch.distributions.Categorical(logits=probabilities).sample()
        tokens = torch.multinomial(probabilities.exp().flatten(0, 1), 1, generator=noise).view(tokens.shape)
        drawn.append(probabilities.gather(-1, tokens[..., None])[..., 0])
        return tokens

    text, guidance = conditioner.batch(prompts, length), generator.options.guidance
    codes = pattern.align(
        write_codes(IncrementalDecoder(model.decoder, text, pattern.steps, guidance), pattern, choose)
    )
    return codes, pattern.align(torch.stack(drawn, dim=1))


def rows_of(generator, codes, left=True):
    """Return TRL's rows of texts and codes (a list of [K, T]): ids, mask, labels."""
    tokenize = generator._conditioner._tokenizer
    texts = [tokenize(text)["input_ids"] for text in TEXTS]
    flat = [flat_codes(one) for one in codes]
    before, after = max(map(len, texts)), max(map(len, flat))
    rows = []
    for text, code in zip(texts, flat, strict=True):
        blank, tail = [0] * (before - len(text)), [0] * (after - len(code))
        ids = [*blank, *text, *code, *tail] if left else [*text, *code, *blank, *tail]
        mask = [1] * (len(text) + len(code))
        mask = [*blank, *mask, *tail] if left else [*mask, *blank, *tail]
        start = len(blank) + len(text) if left else len(text)
        labels = [token if start <= place < start + len(code) else IGNORED for place, token in enumerate(ids)]
        rows.append((ids, mask, labels))
    return [torch.tensor(part) for part in zip(*rows, strict=True)]


def of_codes(output, labels, row):
    """Return a row's log-probabilities, in the order of its codes."""
    return output.log_probs[row][labels[row, 1:] != IGNORED]


@pytest.mark.parametrize("left", [True, False])
def test_probabilities_are_those_with_which_the_codes_were_sampled(generator, policy, left):
    codes, drawn = sampled(generator, frames=9)
    ids, mask, labels = rows_of(generator, codes, left)
    with torch.no_grad():
        found = policy(ids, mask, labels)
    for row in range(len(TEXTS)):
        expected = drawn[row].T.reshape(-1)
        assert torch.allclose(of_codes(found, labels, row), expected, atol=1e-5, rtol=0)
    assert found.log_probs[labels[:, 1:] == IGNORED].abs().max() == 0
    assert torch.isclose(found.loss, -drawn.mean(), atol=1e-5)


def test_a_shorter_row_is_as_it_is_alone(generator, policy):
    codes, _ = sampled(generator, frames=9)
    cut = [codes[0], codes[1][:, :5], codes[2][:, :1]]
    ids, mask, labels = rows_of(generator, cut)
    with torch.no_grad():
        together = policy(ids, mask, labels)
        for row in range(3):
            own = mask[row].bool()
            alone = policy(ids[row : row + 1, own], mask[row : row + 1, own], labels[row : row + 1, own])
            assert torch.allclose(
                of_codes(together, labels, row), alone.log_probs[alone.label_mask], atol=1e-5, rtol=0
            )


def test_entropy_and_the_likeliest_are_those_of_the_same_distribution(generator, policy):
    codes, _ = sampled(generator, frames=3)
    ids, mask, labels = rows_of(generator, codes)
    with torch.no_grad():
        found = policy(ids, mask, labels)
        total = torch.zeros_like(found.log_probs)
        entropy, best = torch.zeros_like(total), torch.full_like(total, -torch.inf)
        last = labels[:, -1] != IGNORED
        for code in range(generator._vocabulary):  # of the last code, which nothing comes after
            other = ids.clone()
            other[last, -1] = code
            relabelled = torch.where(labels == IGNORED, labels, other)
            one = policy(other, mask, relabelled).log_probs
            total += one.exp()
            entropy -= one.exp() * one
            best = best.maximum(one)
    assert torch.allclose(total[:, -1], torch.ones(3), atol=1e-5)
    assert torch.allclose(found.entropy[:, -1], entropy[:, -1], atol=1e-4)
    assert (found.is_top1[:, -1] == (found.log_probs[:, -1] >= best[:, -1] - 1e-6)).all()


def test_nothing_is_dropped_out_in_training(generator, policy):
    codes, _ = sampled(generator, frames=4)
    rows = rows_of(generator, codes)
    with torch.no_grad():
        quiet = policy.eval()(*rows).log_probs
        assert torch.equal(policy.train()(*rows).log_probs, quiet)


def test_gradients_reach_the_decoder_and_nothing_else(generator, policy):
    codes, _ = sampled(generator, frames=4)
    policy.train()
    policy(*rows_of(generator, codes)).loss.backward()
    learning = {name for name, weight in policy.named_parameters() if weight.grad is not None}
    assert any("lm_heads" in name for name in learning)
    assert any("fc1" in name for name in learning)
    assert not any("text_encoder" in name or "audio_encoder" in name for name in learning)
    plain = {name: policy.get_parameter(name).grad.clone() for name in learning}
    policy.zero_grad()
    policy.gradient_checkpointing_enable()
    policy(*rows_of(generator, codes)).loss.backward()
    for name, gradient in plain.items():
        assert torch.allclose(policy.get_parameter(name).grad, gradient, atol=1e-6), name


def test_codes_that_are_no_whole_frames_are_refused(generator, policy):
    codes, _ = sampled(generator, frames=3)
    ids, mask, labels = rows_of(generator, codes)
    labels[0, -1] = IGNORED
    with pytest.raises(ValueError, match="frames of"):
        policy(ids, mask, labels)


def test_the_contract_of_trl_is_the_one_that_the_policy_speaks(policy):
    """TRL's call of a model is private to it: where an upgrade changes that, these fail before a training lies."""
    from trl.trainer import utils

    fields = [field.name for field in dataclasses.fields(utils.FusedCausalLMOutput)]
    assert fields == [
        "loss",
        "log_probs",
        "entropy",
        "log_sum_sq_probs",
        "mean_logits",
        "is_top1",
        "label_mask",
        "aux_loss",
    ]
    signature = inspect.signature(utils.add_fused_lm_head)
    assert list(signature.parameters) == ["model", "temperature", "cast_lm_head_to_fp32", "outputs"]
    assert "model.forward = " in inspect.getsource(utils.add_fused_lm_head)
    forward = policy.forward
    utils.add_fused_lm_head(policy)
    assert policy.forward == forward
