"""Models that have moved from the one they began as."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

MUSICGEN, STABLE_AUDIO = "model.safetensors", "transformer/diffusion_pytorch_model.safetensors"
_LEARNS = {MUSICGEN: "decoder.model.decoder.layers", STABLE_AUDIO: "transformer_blocks"}


def moved_model(source: Path, folder: Path, size: float, weights: str = MUSICGEN) -> Path:
    """Write a model whose weights that post-training changes are other than the source's by noise of a size."""
    shutil.copytree(source, folder)
    tensors, noise = load_file(folder / weights), torch.Generator().manual_seed(0)
    for name in sorted(tensors):
        if _LEARNS[weights] in name and tensors[name].ndim == 2:
            tensors[name] += size * torch.randn(tensors[name].shape, generator=noise)
    save_file(tensors, folder / weights, {"format": "pt"})
    return folder
