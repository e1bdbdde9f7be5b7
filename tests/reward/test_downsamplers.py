"""Downsamplers against their definition, and that padding is never heard."""

import pytest
import torch
from torch.nn import functional as F

from music.errors import InputError
from reward.cmi_rm.config import DownsamplerConfig
from reward.cmi_rm.downsamplers import build_downsampler, two_strides, valid

DIM = 8
CONFIGS = {
    "none": DownsamplerConfig(),
    "mean": DownsamplerConfig("mean", 3),
    "mlp": DownsamplerConfig("mean+mlp", 4),
    "mlp first": DownsamplerConfig("mean+mlp", 4, pre_mlp=True),
    "conv": DownsamplerConfig("conv", 3),
    "conv twice": DownsamplerConfig("conv*2", 9),
    "conv twice, even": DownsamplerConfig("conv*2", 4),
    "glu": DownsamplerConfig("gluconv*2+pw", 6),
    "no norm": DownsamplerConfig("conv*2", 6, use_layernorm=False),
    "factor 1": DownsamplerConfig("conv*2", 1),
    "mlp, factor 1": DownsamplerConfig("mean+mlp", 1, pre_mlp=True),
}


@pytest.fixture(params=list(CONFIGS), ids=list(CONFIGS))
def config(request):
    return CONFIGS[request.param]


def build(config):
    torch.manual_seed(0)
    module = build_downsampler(DIM, config).eval()
    for parameter in module.parameters():  # gains and biases that are not 1 and 0
        torch.nn.init.normal_(parameter, std=0.5)
    return module


@torch.no_grad()
def test_padding_is_never_heard(config):
    module = build(config)
    lengths = torch.tensor([0, 1, 3, 8, 9, 10, 17, 18, 23])
    x = torch.randn(len(lengths), 30, DIM)  # what lies beyond an item's end is noise
    together, out = module(x, lengths)
    assert torch.equal(out, lengths // config.factor)
    for index, length in enumerate(lengths.tolist()):
        alone, _ = module(x[index : index + 1, :length], lengths[index : index + 1])
        assert alone.shape[1] == length // config.factor
        torch.testing.assert_close(together[index, : alone.shape[1]], alone[0], atol=1e-6, rtol=0)
    if config.factor > 1:
        assert not together[~valid(out, together.shape[1])].any()


def test_mean_is_the_mean_of_each_piece():
    x = torch.arange(20.0).reshape(1, 10, 2)
    found, lengths = build_downsampler(2, DownsamplerConfig("mean", 3))(x, torch.tensor([10]))
    assert torch.equal(found, x[:, :9].reshape(1, 3, 3, 2).mean(dim=2))
    assert lengths.tolist() == [3]


@torch.no_grad()
def test_conv_twice_is_two_strided_convolutions():
    module = build(DownsamplerConfig("conv*2", 6))
    x = torch.randn(1, 13, DIM)
    stage = x[:, :12]
    for block, stride in ((module.block1, 3), (module.block2, 2)):
        stage = F.conv1d(
            stage.transpose(1, 2), block.dw.weight, stride=stride, padding=2, groups=DIM
        ).transpose(1, 2)
        stage = F.silu(F.layer_norm(stage, (DIM,), block.ln.weight, block.ln.bias))
    found, _ = module(x, torch.tensor([13]))
    torch.testing.assert_close(found, stage)


@torch.no_grad()
def test_glu_takes_its_first_half_as_the_value():
    module = build(DownsamplerConfig("gluconv*2+pw", 4))
    x = torch.randn(1, 8, DIM)
    stage = x.transpose(1, 2)
    for block in (module.block1, module.block2):
        value, gate = F.conv1d(stage, block.pw1.weight).chunk(2, dim=1)
        stage = F.conv1d(value * gate.sigmoid(), block.dw.weight, stride=2, padding=2, groups=DIM).transpose(
            1, 2
        )
        stage = F.silu(F.layer_norm(stage, (DIM,), block.ln.weight, block.ln.bias)).transpose(1, 2)
    found, _ = module(x, torch.tensor([8]))
    torch.testing.assert_close(found, F.conv1d(stage, module.final_pw.weight).transpose(1, 2))


def test_keys_are_the_published_ones():
    def keys(kind, factor=4):
        return {
            name.rsplit(".", 1)[0]
            for name in build_downsampler(DIM, DownsamplerConfig(kind, factor)).state_dict()
        }

    blocks = {"block1.dw", "block1.ln", "block2.dw", "block2.ln"}
    assert keys("none") == keys("mean") == set()
    assert keys("mean+mlp") == {"mlp.0", "mlp.3"}
    assert keys("conv") == {"blocks.0.dw", "blocks.0.ln"}
    assert keys("conv*2") == blocks
    assert keys("gluconv*2+pw") == {*blocks, "block1.pw1", "block2.pw1", "final_pw"}


@pytest.mark.parametrize(
    ("kind", "aliases"),
    [
        ("mean", ["meanpool"]),
        ("mean+mlp", ["b1", "meanpool+mlp", "baseline1"]),
        ("conv*2", ["B2", "baseline2"]),
        ("conv", ["baseline2simple", "b2s"]),
        ("gluconv*2+pw", ["baseline3", "b3"]),
    ],
)
def test_aliases(kind, aliases):
    assert {DownsamplerConfig(alias, 2).kind for alias in aliases} == {kind}


def test_two_strides():
    assert [two_strides(factor) for factor in (1, 2, 3, 5)] == [(1, 1), (1, 2), (3, 1), (1, 5)]
    assert [two_strides(factor) for factor in (4, 6, 8, 9)] == [(2, 2), (3, 2), (2, 4), (3, 3)]
    assert [two_strides(factor) for factor in (12, 18)] == [(3, 4), (3, 6)]


@pytest.mark.parametrize("values", [{"kind": "max"}, {"factor": 0}, {"kernel_size": 4}])
def test_impossible_configs_are_refused(values):
    with pytest.raises(InputError):
        DownsamplerConfig(**values)
