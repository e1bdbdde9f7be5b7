"""A tiny CLAP of msclap with random weights, in the format of ``CLAP_weights_2023.pth``, and its GPT-2."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from reward.baselines.pam import import_msclap

_WIDTH, _SHARED, _TEXT_WIDTH = 64, 24, 32  # of the audio encoder, of what both share, of GPT-2


@contextmanager
def small_htsat() -> Iterator[None]:
    """While it lasts, the package builds a small HTS-AT: its sizes are defaults there."""
    import_msclap()
    from msclap.models import htsat

    build = htsat.HTSAT_Swin_Transformer.__init__
    sizes = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    usual = {
        name: parameter.default
        for name, parameter in inspect.signature(build).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    with patch.object(build, "__defaults__", tuple((usual | sizes).values())):
        yield


def build_msclap(gpt2: Path) -> Any:
    """Return msclap's own model, which reads its GPT-2 from a folder; `small_htsat` must last."""
    from msclap.models.clap import CLAP

    hearing = (44_100, 1024, 320, 64, 50, 8000, 527)
    return CLAP("HTSAT", *hearing, _WIDTH, str(gpt2), _TEXT_WIDTH, _SHARED)


def build_tiny_msclap(folder: Path) -> Path:
    """Write the folder and return it; `small_htsat` must last."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Config, GPT2Model, GPT2Tokenizer

    pieces = [
        *sorted(ByteLevel.alphabet()),
        "<|endoftext|>",
    ]  # of which "!" is the first, as in the published one
    tokenizer = GPT2Tokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[])
    tokenizer.save_pretrained(folder / "gpt2")
    config = GPT2Config(vocab_size=len(pieces), n_positions=128, n_embd=_TEXT_WIDTH, n_layer=2, n_head=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2Model(config).save_pretrained(folder / "gpt2")
        model = build_msclap(folder / "gpt2")
        for name, buffer in model.named_buffers():  # a trained model's statistics
            if name.endswith("running_mean"):
                buffer.normal_()
    state = model.state_dict()
    for layer in range(
        config.n_layer
    ):  # as the versions of transformers saved it with which CLAP was trained
        attention = f"caption_encoder.base.h.{layer}.attn"
        state[f"{attention}.bias"] = torch.ones(1, 1, 128, 128, dtype=torch.uint8).tril()
        state[f"{attention}.masked_bias"] = torch.tensor(-1e4)
    torch.save({"model": state}, folder / "CLAP_weights_2023.pth")
    return folder
