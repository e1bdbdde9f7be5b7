"""What a training needs to continue after a kill: its state and its log."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from music.durable import write_bytes, write_text
from music.errors import InputError
from music.jsonl import dump_line, read_jsonl
from music.torch_files import read_torch_file

_FIELDS = {"identity", "best", "step", "best_step", "waited", "stopped", "model", "optimiser"}


class TrainState:
    """Step, best validation and patience of a run, saved together with weights and optimiser.

    Parameters
    ----------
    path
        Path of the file.
    identity
        Settings that the run depends on; a file with others is refused.

    Raises
    ------
    InputError
        If the file is damaged or belongs to a run with other settings; they are named.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = path, json.dumps(identity, sort_keys=True)
        self.step, self.best_step, self.waited, self.stopped = 0, 0, 0, False
        self.best: dict[str, Any] | None = None
        self._tensors: dict[str, Any] | None = None
        if path.exists():
            self._read(identity)

    def _read(self, identity: Mapping[str, Any]) -> None:
        try:
            saved = read_torch_file(self.path, "state of a training")
        except InputError as error:
            raise InputError(f"{error}: delete it to start again") from error
        if not isinstance(saved, dict) or not saved.keys() >= _FIELDS:
            raise InputError(f"{self.path} holds no state of a training: delete it to start again")
        before = json.loads(saved["identity"])
        changed = [name for name in identity if before.get(name) != json.loads(self.identity)[name]]
        if changed:
            detail = "; ".join(f"{name} was {before.get(name)!r}, is {identity[name]!r}" for name in changed)
            raise InputError(
                f"{self.path.parent} holds a run with other settings ({detail}): choose another --output"
            )
        self.step, self.best_step, self.waited = saved["step"], saved["best_step"], saved["waited"]
        self.best, self.stopped = json.loads(saved["best"]), saved["stopped"]
        self._tensors = {"model": saved["model"], "optimiser": saved["optimiser"]}

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Give model and optimiser the saved values, if there are any."""
        if self._tensors is not None:
            model.load_state_dict(self._tensors["model"])
            optimiser.load_state_dict(self._tensors["optimiser"])
            self._tensors = None

    def save(self, model: nn.Module, optimiser: Any) -> None:
        """Write everything, atomically; `InputError` if that fails."""
        buffer = io.BytesIO()
        numbers = {
            "step": self.step,
            "best_step": self.best_step,
            "waited": self.waited,
            "stopped": self.stopped,
        }
        tensors = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save({"identity": self.identity, "best": json.dumps(self.best), **numbers, **tensors}, buffer)
        write_bytes(self.path, buffer.getvalue())


class TrainLog:
    """``log.jsonl``: rows of steps and validations; rows beyond the state resumed from are made again.

    Rows are written at every checkpoint, so that the file never runs ahead of the state.

    Parameters
    ----------
    path
        Path of the file.
    step
        Step that the run resumes from.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        known = read_jsonl(path) if path.exists() and step else []
        self._lines = [dump_line(row) for _, row in known if row["step"] <= step]

    def add(self, row: Mapping[str, Any]) -> None:
        """Take up a row."""
        self._lines.append(dump_line(row))

    def flush(self) -> None:
        """Write all rows, atomically."""
        write_text(self.path, "".join(self._lines))
