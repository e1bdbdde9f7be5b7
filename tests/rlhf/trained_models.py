"""Models that have moved from the one they began as, and trainings in several processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rlhf.options import LOG, PostTraining

ROOT = Path(__file__).parents[2]
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


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a training's log."""
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def launched(launcher: Sequence[str], options: PostTraining) -> subprocess.CompletedProcess[str]:
    """Run a launcher of processes with options, to its end."""
    given = {name: value for name, value in vars(options).items() if value != getattr(PostTraining(), name)}
    arguments = [f"--{name}={'null' if value is None else value}" for name, value in given.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done
