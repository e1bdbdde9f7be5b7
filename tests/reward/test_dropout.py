"""Dropout: its noise belongs to the items of a step."""

import pytest
import torch

from reward.cmi_rm.dropout import Dropout, Noise, lend_noise


def test_parts_of_a_step_drop_what_the_whole_drops():
    layers = torch.nn.Sequential(Dropout(0.3), Dropout(0.5))
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    lend_noise(layers, Noise(7, torch.arange(6), 6))
    whole = layers(x)
    for places in ([0, 3], [5, 1, 2], [4]):
        at = torch.tensor(places)
        lend_noise(layers, Noise(7, at, 6))
        assert torch.equal(layers(x[at]), whole[at])
    lend_noise(layers, Noise(8, torch.arange(6), 6))
    assert not torch.equal(layers(x), whole)


@pytest.mark.parametrize("lent", [True, False])
def test_it_drops_its_share_and_keeps_the_mean(lent):
    layer = Dropout(0.2)
    if lent:
        lend_noise(layer, Noise(0, torch.arange(400), 400))
    found = layer(torch.ones(400, 100))
    assert abs((found == 0).float().mean() - 0.2) < 0.01
    assert torch.unique(found).tolist() == [0.0, 1.25]
    layer.eval()
    assert torch.equal(layer(torch.ones(3, 2)), torch.ones(3, 2))
