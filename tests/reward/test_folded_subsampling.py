"""Normalisations folded into convolutions give what muq's own modules give."""

import pytest
import torch

from reward.cmi_rm.folded_subsampling import FoldedSubsampling
from reward.cmi_rm.muq_import import import_muq


@pytest.fixture(params=[(1, 8), (8, 8)], ids=["published", "without a shortcut's convolution"])
def original(request):
    """Return a module of muq whose normalisations have seen something."""
    import_muq()
    from muq.muq.modules.conv import Conv2dSubsampling

    torch.manual_seed(0)
    module = Conv2dSubsampling(1, request.param[1], 16, strides=[2, 2], n_bands=32)
    if request.param[0] == 8:  # a block that keeps its shape adds its input as it is
        from muq.muq.modules.conv import Res2dModule

        module.conv = torch.nn.Sequential(*module.conv, Res2dModule(8, 8, (1, 1)))
    for _ in range(3):
        module(torch.randn(2, 32, 40) * 3 + 1)
    return module.eval()


def test_it_gives_what_the_original_gives(original):
    heard = torch.randn(2, 32, 40)
    with torch.no_grad():
        expected = original(heard)
        assert torch.allclose(FoldedSubsampling(original)(heard), expected, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            lower, wanted = FoldedSubsampling(original)(heard), original(heard)
    assert lower.dtype == wanted.dtype
    assert (lower - expected).abs().max() < 1.5 * (wanted - expected).abs().max() + 0.02


def test_it_holds_the_parameters_under_their_names(original):
    assert FoldedSubsampling(original).state_dict().keys() == original.state_dict().keys()


def test_loaded_weights_count(original):
    folded, heard = FoldedSubsampling(original), torch.randn(1, 32, 40)
    with torch.no_grad():
        before = folded(heard)
        folded.load_state_dict({name: value * 1.5 for name, value in folded.state_dict().items()})
        assert torch.allclose(folded(heard), original(heard), atol=1e-4)
        assert not torch.allclose(folded(heard), before)
