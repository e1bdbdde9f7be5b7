"""What all of TRL's trainers are told, and how each of them runs: resumed where it was killed, its log in one file.

What learns is a low-rank update (LoRA, arXiv 2106.09685) of a MusicGen's decoder. The reference of every algorithm is
the same model with the update switched off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback, set_seed

from music.durable import write_text, writing
from music.interruption import StopAfterStep
from music.jsonl import dump_line
from music.processes import Processes
from music.progress import progress
from rlhf.choosing import turns_of
from rlhf.options import LOG, Optimisation
from rlhf.streams import Purpose, seed_of, stream

_DECODER = (
    r".*decoder\.model\.decoder\.layers\.\d+\.(self_attn|encoder_attn)\.(q_proj|k_proj|v_proj|out_proj)"
)
_FEED_FORWARD = r".*decoder\.model\.decoder\.layers\.\d+\.(fc1|fc2)"


def lora_config(rank: int) -> Any:
    """Return the `peft.LoraConfig` of a rank for all linear layers of the decoder's blocks; updates are scaled by 1."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=rank, target_modules=f"({_DECODER}|{_FEED_FORWARD})")


@torch.no_grad()
def updated_weights(decoder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights with updates of a `MusicgenForCausalLM`, by the names that they have without, one at a time.

    Where processes share the weights (FSDP), all must go through them together; each gets the whole ones.
    """
    for name, module in decoder.named_modules():
        if hasattr(module, "base_layer"):
            update = _whole(module.get_delta_weight(module.active_adapters[0]))
            yield f"{name}.weight", update.add_(_whole(module.base_layer.weight))
            del update  # before the next is made


def _whole(weight: torch.Tensor) -> torch.Tensor:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


_NOT_KEPT = ("num_tokens",)  # TRL begins to count anew after a kill
_SEEDS = 2**32  # that transformers takes
_STATE = "trainer_state.json"  # what transformers writes last into a checkpoint


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


class Lines(TrainerCallback):
    """Tells a log file how far a training is; on a terminal the trainer draws a bar of its own."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin where the training does."""
        other = not state.is_world_process_zero
        self._bar = progress(
            total=state.max_steps, initial=state.global_step, desc="post-train", disable=other
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step."""
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        """Show the latest loss and reward."""
        logs: Mapping[str, Any] = facts["logs"]
        if shown := {name: logs[name] for name in ("loss", "reward") if name in logs}:
            self._bar.set_postfix(shown)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it came."""
        self._bar.close()


class SavesWhenStopped(TrainerCallback):
    """Ends a training after a step, with a checkpoint, where a signal asks for it."""

    def __init__(self, stop: StopAfterStep) -> None:
        self._stop, self.asked = stop, False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask the trainer to save and to end."""
        if self._stop.after(state.global_step) and state.global_step < state.max_steps:
            self.asked = control.should_save = control.should_training_stop = True


@dataclass(frozen=True, eq=False)
class TrlRun:
    """A training of a policy by TRL, from the last whole checkpoint in a folder or from the beginning.

    Attributes
    ----------
    policy
        The `rlhf.musicgen.policy.MusicgenPolicy` that learns.
    tokenizer
        Tokenizer of its text encoder.
    optimisation
        How it learns.
    folder
        Folder for checkpoints and log.
    device
        Type of the device: cpu, cuda ...
    processes
        Processes that share the work.
    """

    policy: Any
    tokenizer: Any
    optimisation: Optimisation
    folder: Path
    device: str
    processes: Processes

    @property
    def _seed(self) -> int:
        """Seed of what trainers draw: the first values of the update."""
        return seed_of(self.optimisation.seed, Purpose.UPDATE) % _SEEDS

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the configurations of all trainers share.

        Raises
        ------
        InputError
            If the batch does not divide by what the processes take at once.
        """
        own = self.optimisation
        return {
            "output_dir": str(self.folder),
            "max_steps": own.steps,
            "learning_rate": own.learning_rate,
            "per_device_train_batch_size": own.micro_batch_size,
            "gradient_accumulation_steps": own.accumulation(self.processes.world_size),
            "gradient_checkpointing": own.gradient_checkpointing,
            "bf16": own.bfloat16,
            "use_cpu": self.device == "cpu",
            "train_sampling_strategy": "sequential",  # as `planned` has them
            "seed": self._seed,
            "save_strategy": "steps",
            "save_steps": own.save_every,
            "save_total_limit": 2,
            "logging_steps": 1,
            "report_to": [] if own.tracker == "none" else [own.tracker],
            "remove_unused_columns": False,
            "dataloader_pin_memory": False,
            "disable_tqdm": not sys.stderr.isatty(),
        }

    def planned(self, examples: Sequence[Mapping[str, Any]]) -> Any:
        """Return a `datasets.Dataset` of whose turn it is in all steps, one after the other.

        Trainers' own order ends an epoch with a smaller batch where examples do not divide, and then depends on how
        many processes share it.
        """
        from datasets import Dataset

        own = self.optimisation
        turns = turns_of(range(len(examples)), own.steps * own.batch_size, stream(own.seed, Purpose.ORDER))
        return Dataset.from_list(list(examples)).select(turns)

    def train(self, trainer: Callable[..., Any], settings: Any, rows: Any, **more: Any) -> Any:
        """Train and return the `peft.PeftModel` with its update.

        Parameters
        ----------
        trainer
            A trainer of TRL; what it draws at random (updates begin so) depends on the seed alone.
        settings
            Its configuration, made with `arguments`.
        rows
            The `datasets.Dataset` that it learns from, in the order of its steps.
        more
            Further arguments of the trainer.

        Raises
        ------
        Stopped
            After a signal, with a checkpoint saved.
        """
        set_seed(self._seed)
        training = trainer(
            model=self.policy,
            args=settings,
            train_dataset=rows,
            processing_class=self.tokenizer,
            peft_config=lora_config(self.optimisation.lora_r),
            **more,
        )
        training.create_scheduler = self._rises(training)
        training.create_model_card = lambda *_, **__: None  # it would describe a language model
        training.add_callback(LogFile(self.folder / LOG))
        if settings.disable_tqdm:
            training.remove_callback(PrinterCallback)  # it prints all of what is in the log
            training.add_callback(Lines())
        with writing(self.folder), StopAfterStep(self.processes) as stop:
            saves = SavesWhenStopped(stop)
            training.add_callback(saves)
            training.train(resume_from_checkpoint=_last_whole(self.folder))
            if saves.asked:
                raise stop.stopped(training.state.global_step, self.optimisation.steps)
        return training.accelerator.unwrap_model(training.model)

    def _rises(self, training: Any) -> Callable[..., Any]:
        """Return what sets a trainer's schedule: those of transformers that rise begin with a step at a rate of 0."""
        own = self.optimisation

        def create(num_training_steps: int, optimizer: Any = None) -> Any:
            training.lr_scheduler = LambdaLR(
                optimizer or training.optimizer, lambda step: own.rate_at(step) / own.learning_rate
            )
            return training.lr_scheduler

        return create


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
