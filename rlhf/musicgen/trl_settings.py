"""What all of TRL's trainers are told, and how each of them runs: resumed where it was killed, its log in one file.

Low-rank updates (LoRA, arXiv 2106.09685) of a MusicGen's decoder: what post-training learns.

The reference of every algorithm is the same model with the update switched off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, set_seed

from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line
from rlhf.options import LOG, Optimisation

_DECODER = (
    r".*decoder\.model\.decoder\.layers\.\d+\.(self_attn|encoder_attn)\.(q_proj|k_proj|v_proj|out_proj)"
)
_FEED_FORWARD = r".*decoder\.model\.decoder\.layers\.\d+\.(fc1|fc2)"


def lora_config(rank: int) -> Any:
    """Return the `peft.LoraConfig` for all linear layers of the decoder's blocks; the update is scaled by 1.

    Parameters
    ----------
    rank
        Of each update.
    """
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=rank, target_modules=f"({_DECODER}|{_FEED_FORWARD})")


@torch.no_grad()
def updated_weights(decoder: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a decoder's layers with their updates, by the names that they have without.

    Where processes share the weights (FSDP), all must call; each gets the whole ones.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM` that peft has put updates into.
    """
    return {
        f"{name}.weight": _whole(module.base_layer.weight)
        + _whole(module.get_delta_weight(module.active_adapters[0]))
        for name, module in decoder.named_modules()
        if hasattr(module, "base_layer")
    }


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


_NOT_KEPT = ("num_tokens",)  # TRL begins to count anew after a kill
_STATE = "trainer_state.json"  # what transformers writes last into a checkpoint


def arguments(how: Optimisation, output: Path, device: str, processes: int) -> dict[str, Any]:
    """Return the arguments that the configurations of all trainers share.

    Raises
    ------
    InputError
        If the batch does not divide by what the processes take at once.
    """
    at_once = how.micro_batch_size * processes
    if how.batch_size % at_once:
        raise InputError(
            f"--batch_size {how.batch_size} must be a multiple of --micro_batch_size {how.micro_batch_size} "
            f"times the {processes} processes"
        )
    return {
        "output_dir": str(output),
        "max_steps": how.steps,
        "learning_rate": how.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": max(1, how.steps // 10),
        "per_device_train_batch_size": how.micro_batch_size,
        "gradient_accumulation_steps": how.batch_size // at_once,
        "gradient_checkpointing": how.gradient_checkpointing,
        "bf16": how.bfloat16,
        "use_cpu": device == "cpu",
        "seed": how.seed,
        "data_seed": how.seed,
        "save_strategy": "steps",
        "save_steps": how.save_every,
        "save_total_limit": 2,
        "logging_steps": 1,
        "report_to": [] if how.tracker == "none" else [how.tracker],
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
    }


class LogFile(TrainerCallback):
    """Keeps ``log.jsonl`` beside a training: a row a step, those from before a kill included."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write what is known so far."""
        if state.is_world_process_zero:
            write_text(self._path, "".join(dump_line(_plain(row)) for row in state.log_history))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if isinstance(value, int | float | str) and name not in _NOT_KEPT
    }


def train(
    kind: Callable[..., Any],
    policy: Any,
    tokenizer: Any,
    settings: Any,
    rows: Any,
    how: Optimisation,
    folder: Path,
    **more: Any,
) -> Any:
    """Train from the last whole checkpoint in a folder, or from the beginning.

    Parameters
    ----------
    kind
        A trainer of TRL; what it draws at random (updates begin so) hangs on the seed alone.
    policy, tokenizer
        What learns, and that of its text encoder.
    settings
        The trainer's arguments.
    rows
        The `datasets.Dataset` that it learns from.
    how
        Of the optimiser.
    folder
        The trainer's output folder.
    more
        What else the trainer takes.

    Returns
    -------
    peft.PeftModel
        The model with its update.
    """
    set_seed(how.seed)
    trainer = kind(
        model=policy,
        args=settings,
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=lora_config(how.lora_r),
        **more,
    )
    trainer.create_model_card = lambda *_, **__: None  # it would describe a language model
    trainer.add_callback(LogFile(folder / LOG))
    trainer.train(resume_from_checkpoint=_last_whole(folder))
    return trainer.accelerator.unwrap_model(trainer.model)


def _last_whole(folder: Path) -> str | None:
    """Return the newest checkpoint whose last file is whole: a killed process may leave half of one."""
    found = {int(path.name.partition("-")[2]): path for path in folder.glob("checkpoint-*")}
    for step in sorted(found, reverse=True):
        try:
            json.loads((found[step] / _STATE).read_text())
        except (OSError, ValueError):
            continue
        return str(found[step])
    return None
