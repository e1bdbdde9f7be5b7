"""What all of TRL's trainers are told, and how each of them runs: resumed where it was killed, its log in one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, set_seed

from music.durable import write_text
from music.errors import InputError
from music.jsonl import dump_line

LOG = "log.jsonl"
_NOT_KEPT = ("num_tokens",)  # TRL begins to count anew after a kill
_STATE = "trainer_state.json"  # what transformers writes last into a checkpoint


@dataclass(frozen=True)
class Optimisation:
    """How weights are learned.

    Attributes
    ----------
    steps
        Of the optimiser.
    learning_rate
        Of AdamW, after a linear rise over a tenth of the steps.
    batch_size
        Clips (pairs, of preferences) a step, over all processes.
    micro_batch_size
        Of them at once in a process; the rest follows by accumulation.
    lora_r
        Rank of the update.
    save_every
        Steps from one checkpoint to the next.
    gradient_checkpointing
        Compute layers again for the gradient, in place of keeping what they gave.
    bfloat16
        Compute in bfloat16, with weights in float32.
    seed
        Of order and rollouts.
    tracker
        tensorboard, wandb or none.
    """

    steps: int = 100
    learning_rate: float = 3e-4
    batch_size: int = 32
    micro_batch_size: int = 32
    lora_r: int = 16
    save_every: int = 25
    gradient_checkpointing: bool = False
    bfloat16: bool = False
    seed: int = 0
    tracker: str = "none"

    def arguments(self, output: Path, device: str, processes: int) -> dict[str, Any]:
        """Return the arguments that the configurations of all trainers share.

        Raises
        ------
        InputError
            If the batch does not divide by what the processes take at once.
        """
        at_once = self.micro_batch_size * processes
        if self.batch_size % at_once:
            raise InputError(
                f"--batch_size {self.batch_size} must be a multiple of --micro_batch_size {self.micro_batch_size} "
                f"times the {processes} processes"
            )
        return {
            "output_dir": str(output),
            "max_steps": self.steps,
            "learning_rate": self.learning_rate,
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": max(1, self.steps // 10),
            "per_device_train_batch_size": self.micro_batch_size,
            "gradient_accumulation_steps": self.batch_size // at_once,
            "gradient_checkpointing": self.gradient_checkpointing,
            "bf16": self.bfloat16,
            "use_cpu": device == "cpu",
            "seed": self.seed,
            "data_seed": self.seed,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 2,
            "logging_steps": 1,
            "report_to": [] if self.tracker == "none" else [self.tracker],
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


def train(make: Callable[[], Any], how: Optimisation, folder: Path) -> Any:
    """Train from the last whole checkpoint in a folder, or from the beginning.

    Parameters
    ----------
    make
        Makes the trainer, of TRL; what it draws at random (updates begin so) hangs on the seed alone.
    how
        Of the optimiser.
    folder
        The trainer's output folder.

    Returns
    -------
    peft.PeftModel
        The model with its update.
    """
    set_seed(how.seed)
    trainer = make()
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
