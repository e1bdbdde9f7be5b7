"""``rlhf/train.py`` with FSDP on CPUs, where torch shards over gloo, but accelerate takes FSDP to be for GPUs."""

import os
from pathlib import Path
from typing import Any

import torch.distributed.fsdp as fsdp
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from music.command import run
from rlhf.options import PostTraining
from rlhf.train import main

_begin, _cut = AcceleratorState.__init__, fsdp.fully_shard


def _begin_with_fsdp(state: Any, *args: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    _begin(state, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None:
        assert state.distributed_type in (DistributedType.MULTI_CPU, DistributedType.FSDP)
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def _tell(model: Any, *args: Any, **options: Any) -> Any:
    """Add the name of a module that is cut to a file of this process, so that a test sees it."""
    with open(Path(os.environ["FSDP_CUTS"]) / os.environ["RANK"], "a") as file:
        file.write(f"{type(model).__name__}\n")
    return _cut(model, *args, **options)


if __name__ == "__main__":
    fsdp.fully_shard = _tell
    AcceleratorState.__init__ = _begin_with_fsdp  # type: ignore[method-assign]
    run(main, PostTraining)
