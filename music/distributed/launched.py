"""How a launcher (torchrun, accelerate launch, Slurm) announces the processes of a run: through the environment."""

import ctypes
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from music.errors import InputError

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@dataclass(frozen=True)
class Launched:
    """One process among those of a run.

    Attributes
    ----------
    rank
        Index among all processes, from 0.
    world_size
        Number of processes.
    local_rank
        Index among those of this machine.
    address, port
        Where all can meet; empty and 0 for a process alone.
    hosts_store
        Whether this process opens the meeting place, as no launcher has done it.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0
    hosts_store: bool = False


def launched(environment: Mapping[str, str]) -> Launched:
    """Return what the launcher announced.

    Raises
    ------
    InputError
        If it makes no sense, or accelerate was asked for several processes and started one.
    """
    if "WORLD_SIZE" not in environment:
        if _accelerate_started_one_of_several(environment):
            raise InputError(
                "accelerate launch was asked for several processes but started one (it does so on CPU): "
                "use `music-reward --num_processes 2 COMMAND ...`, or --num_processes 1"
            )
        return Launched()
    try:
        world_size = int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", "0"))
        if world_size == 1:
            return Launched(local_rank=local_rank)
        rank, address, port = int(environment["RANK"]), environment["MASTER_ADDR"], environment["MASTER_PORT"]
        found = Launched(rank, world_size, local_rank, address, int(port))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"WORLD_SIZE is set but RANK, WORLD_SIZE, MASTER_ADDR or MASTER_PORT is unusable ({error}): start with "
            "torchrun"
        ) from error
    if not 0 <= rank < world_size:
        raise InputError(f"RANK={rank} does not fit WORLD_SIZE={world_size}: start with torchrun")
    if not 0 < found.port < 2**16:
        raise InputError(f"MASTER_PORT={port} is no port: start with torchrun")
    agent = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun has opened it
    return Launched(rank, world_size, local_rank, address, found.port, rank == 0 and not agent)


def is_launched() -> bool:
    """Return whether accelerate launch or torchrun has started this process; both report its end in many lines."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _is_child_of_accelerate()


def end_with_accelerate() -> None:
    """Let SIGTERM end this process when its parent, `accelerate launch`, ends: that hands on no signal by itself."""
    if _is_child_of_accelerate():
        end_with_parent()


def end_with_parent() -> None:
    """Let SIGTERM end this process when its parent ends; Linux alone can."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _is_child_of_accelerate() -> bool:
    """Look for accelerate's launcher in the command of the parent; False where the system does not tell it."""
    try:
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    names = ("accelerate", "accelerate-launch", "accelerate.commands.launch")
    return any(
        Path(word).name in names or word.endswith("accelerate/commands/launch.py") for word in command[:4]
    )


def _accelerate_started_one_of_several(environment: Mapping[str, str]) -> bool:
    """Tell whether `accelerate launch --num_processes 2` on CPUs set a meeting place and started one process only.

    Sites export a meeting place too: it is accelerate's if accelerate itself, the parent, does not have it.
    """
    names = ("MASTER_ADDR", "MASTER_PORT")
    if "ACCELERATE_MIXED_PRECISION" not in environment or not all(name in environment for name in names):
        return False
    before = _environment_of(os.getppid())
    return before is not None and any(before.get(name) != environment[name] for name in names)


def _environment_of(process: int) -> dict[str, str] | None:
    """Return the environment that a process was started with; None where the system does not tell."""
    try:
        data = Path(f"/proc/{process}/environ").read_bytes()
    except OSError:
        return None
    pairs = (entry.decode(errors="replace").partition("=") for entry in data.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}
