"""The `accelerate.Accelerator` of a training, for which the options of the command decide.

`accelerate launch` reads a file in the user's home, often written for another project, and hands it on in the
environment, where `Accelerator` and the trainers of transformers look for all that they are not told. So what an option
of ours decides is set here, once for all of them; what none decides and would change what is learned is refused; and
`in_force` tells ``run.json`` what it was.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Any

import torch

from music.errors import InputError
from music.processes import Processes

_PREFIX = "ACCELERATE_"
_HARMLESS = {
    f"{_PREFIX}{name}" for name in ("CPU_AFFINITY", "DEBUG_MODE", "ENABLE_RICH", "LOG_LEVEL", "USE_FSDP")
}
#: variable -> what it stands for in a configuration of accelerate
_REFUSED = {
    f"{_PREFIX}DYNAMO_BACKEND": "compiled models (dynamo)",
    f"{_PREFIX}USE_DEEPSPEED": "DeepSpeed",
    f"{_PREFIX}USE_MEGATRON_LM": "Megatron-LM",
    f"{_PREFIX}USE_PARALLELISM_CONFIG": "a parallelism_config",
    f"{_PREFIX}USE_SAGEMAKER": "SageMaker",
}
_FSDP = f"{_PREFIX}USE_FSDP"
_EVERY_PROCESS_READS = "FSDP_CPU_RAM_EFFICIENT_LOADING"  # else all but one would begin with empty weights
_BACKENDS = {"cpu": "gloo", "cuda": "cuda:nccl,cpu:gloo"}  # of torch's process group, by type of device
_OFF = ("", "0", "no", "none", "false", "off", "n", "f")


def settle_environment(
    environment: MutableMapping[str, str], mixed_precision: str, device: str, takes_fsdp: bool = False
) -> list[str]:
    """Make what accelerate finds in the environment what the options of a training say.

    Parameters
    ----------
    environment
        Variables of the process, which are changed.
    mixed_precision
        What models compute in: no or bf16.
    device
        Type of the device: cpu, cuda ...
    takes_fsdp
        Whether processes may share the weights by FSDP.

    Returns
    -------
    list of str
        Settings that are not followed, for people.

    Raises
    ------
    InputError
        If something that no option decides would change what is learned.
    """
    refused = dict(_REFUSED) if takes_fsdp else {**_REFUSED, _FSDP: "FSDP"}
    for name, meaning in refused.items():
        if not _is_off(environment.get(name, "")):
            raise InputError(
                f"{name}={environment[name]} asks for {meaning}, which this training does not take: unset it, or give "
                "accelerate launch a --config_file without it (it reads default_config.yaml in the folder accelerate "
                "of HF_HOME otherwise)"
            )
    ours = {f"{_PREFIX}MIXED_PRECISION": mixed_precision, f"{_PREFIX}USE_CPU": str(device == "cpu").lower()}
    told = (*ours, f"{_PREFIX}GRADIENT_ACCUMULATION_STEPS")
    left_aside = []
    for name in [name for name in environment if name.startswith(_PREFIX) and name not in _HARMLESS]:
        value = environment.pop(name)
        # accelerate launch says no, or 1, where nobody has asked for anything
        if name in told and not _is_off(value) and value.lower() not in ("1", ours.get(name)):
            left_aside.append(f"{name}={value}")
    environment.update(ours)
    if device == "cpu":  # several processes would have cpu:0, cpu:1, from which torch.load restores nothing
        environment[f"{_PREFIX}TORCH_DEVICE"] = "cpu"
    if not _is_off(environment.get(_EVERY_PROCESS_READS, "")):
        environment[_EVERY_PROCESS_READS] = "false"
    return left_aside


def make_accelerator(
    processes: Processes,
    device: torch.device,
    mixed_precision: str,
    *,
    own_autocast: bool = False,
    takes_fsdp: bool = False,
    **options: Any,
) -> Any:
    """Return the `accelerate.Accelerator` of a training, over the processes of its run.

    Parameters
    ----------
    processes
        Processes that share every step.
    device
        Device to train on; with several GPUs each process has its own.
    mixed_precision
        What models compute in: no or bf16.
    own_autocast
        Whether the training itself sees to that, so that accelerate has not to.
    takes_fsdp
        Whether processes may share the weights by FSDP.
    options
        Further arguments of `Accelerator`.

    Raises
    ------
    InputError
        If the environment asks for what no option decides, or for more processes than there are GPUs.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import GradientAccumulationPlugin

    left_aside = settle_environment(os.environ, mixed_precision, device.type, takes_fsdp)
    if left_aside and processes.is_main:
        print(f"not followed, as the options decide: {', '.join(left_aside)}", file=sys.stderr)
    if own_autocast:
        os.environ[f"{_PREFIX}MIXED_PRECISION"] = mixed_precision = "no"
    if processes.world_size > 1:
        _refuse_shared_gpus(processes, device)
        if device.type in _BACKENDS:
            processes.open_group(_BACKENDS[device.type])
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed_precision:
        AcceleratorState._reset_state()  # an earlier training of the same process, as in a notebook, had another
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # ours are summed by hand
        **options,
    )
    if accelerator.num_processes != processes.world_size:
        raise InputError(
            f"accelerate sees {accelerator.num_processes} of {processes.world_size} processes: start with torchrun"
        )
    return accelerator


def in_force(accelerator: Any) -> dict[str, Any]:
    """Return what an accelerator was set to, for the record of a run."""
    fsdp = {name: value for name, value in sorted(os.environ.items()) if name.startswith("FSDP_")}
    kind = str(accelerator.distributed_type.value)
    return {
        "mixed_precision": accelerator.mixed_precision,
        "distributed_type": kind,
        "num_processes": accelerator.num_processes,
        "device": str(accelerator.device),
        **({"fsdp": fsdp} if kind == "FSDP" else {}),
    }


def _is_off(value: str) -> bool:
    return value.strip().lower() in _OFF


def _refuse_shared_gpus(processes: Processes, device: torch.device) -> None:
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device.type == "cuda" and here > gpus:
        raise InputError(
            f"{here} processes were started on a machine with {gpus} GPUs, and each needs its own to train: start "
            f"{gpus} (--num_processes of music-reward and accelerate launch, --nproc-per-node of torchrun)"
        )
