"""The head: masks, padding, both attention modes, gradients."""

import itertools
from dataclasses import replace

import pytest
import torch

from reward.cmi_rm.config import CMIRMConfig, DownsamplerConfig
from reward.cmi_rm.head import RewardHead

BASE = CMIRMConfig(dim=12, heads=3, dim_head=4, mlp_dim=8, prompt_tf_depth=2, joint_tf_depth=2)
KINDS = [("none", 1), ("mean", 3), ("mean+mlp", 2), ("conv", 3), ("conv*2", 4), ("gluconv*2+pw", 4)]


def build(mode="SA", kind="none", factor=1, **changes):
    downsampler = DownsamplerConfig(kind, factor)
    torch.manual_seed(0)
    config = replace(
        BASE, attention_mode=mode, eval_downsampler=downsampler, reference_downsampler=downsampler, **changes
    )
    head = RewardHead(config).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head


def streams(lengths, seed=0, padding=0):
    """Return streams of the given lengths, with noise beyond their ends."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(lengths), max(lengths) + padding, 12, generator=generator)
    return x, torch.tensor(lengths)


def score(head, text, lyrics, reference, audio):
    prompt, mask = head.prompt(text, lyrics, reference)
    return head(prompt, mask, audio)


def pick(stream, index):
    x, lengths = stream
    return x[index : index + 1, : lengths[index]], lengths[index : index + 1]


@pytest.mark.parametrize(("mode", "kind"), itertools.product(["SA", "CA"], KINDS))
@torch.no_grad()
def test_a_padded_batch_scores_as_each_item_alone(mode, kind):
    head = build(mode, *kind)
    batch = [
        streams([5, 2, 9, 0], 1, 3),
        streams([2, 7, 0, 0], 2, 2),
        streams([0, 13, 2, 0], 3, 4),
        streams([20, 9, 31, 4], 4, 5),
    ]
    together = score(head, *batch)
    for index in range(4):
        alone = score(head, *(pick(stream, index) for stream in batch))
        torch.testing.assert_close(together[index], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["SA", "CA"])
@torch.no_grad()
def test_every_modality_is_heard(mode):
    head = build(mode, "conv*2", 4)
    full = [streams([5]), streams([4], 1), streams([12], 2), streams([16], 3)]
    scores = [score(head, *full)]
    for index in range(3):
        without = list(full)
        without[index] = (full[index][0], torch.tensor([0]))
        scores.append(score(head, *without))
    for a, b in itertools.combinations(scores, 2):
        assert (a - b).abs().max() > 1e-4


@torch.no_grad()
def test_without_any_prompt_cross_attention_adds_nothing():
    head = build("CA")
    absent = (torch.zeros(1, 0, 12), torch.tensor([0]))
    audio = streams([7])
    found = score(head, absent, absent, absent, audio)
    x = audio[0]
    for layer in head.joint_transformer:
        x = x + layer.self_attn(x, torch.ones(1, 7, dtype=torch.bool))
        x = x + layer.ffn(x)
    torch.testing.assert_close(found, head.score_projector(x.mean(dim=1)))


@torch.no_grad()
def test_joint_self_attention_skips_only_what_nobody_reads():
    head = build("SA")
    prompt, mask = head.prompt(streams([5]), streams([3], 1), streams([4], 2))
    x, lengths = streams([6], 3)
    both, everything = torch.cat([prompt, x], dim=1), torch.ones(1, 18, dtype=torch.bool)
    for attention, feed in head.joint_transformer.layers:
        both = both + attention(both, everything)
        both = both + feed(both)
    torch.testing.assert_close(
        head(prompt, mask, (x, lengths)), head.score_projector(both[:, 12:].mean(dim=1))
    )


def test_lyrics_have_weights_of_their_own():
    head = RewardHead(replace(BASE, text_downsampler=DownsamplerConfig("conv", 2)))
    keys = head.state_dict()
    assert "text_downsampler.blocks.0.dw.weight" in keys
    assert "lyrics_downsampler.blocks.0.dw.weight" in keys


@pytest.mark.parametrize("mode", ["SA", "CA"])
def test_empty_items_give_finite_gradients(mode):
    head = build(mode, "conv*2", 4).train()
    score(head, streams([3, 0]), streams([0, 0]), streams([0, 9]), streams([8, 12])).sum().backward()
    gradients = [parameter.grad for parameter in head.parameters() if parameter.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_size_at_the_released_setting():
    config = CMIRMConfig(prompt_tf_depth=4, joint_tf_depth=1)
    with torch.device("meta"):
        head = RewardHead(config)
    assert round(sum(parameter.numel() for parameter in head.parameters()) / 1e6, 1) == 33.1
