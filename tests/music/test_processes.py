"""Processes: shares that cover the work, and an error when fewer run than were announced."""

import ast
import os
import subprocess
import sys

import pytest

from music.errors import InputError
from music.processes import Processes


def test_alone():
    processes = Processes({})
    assert (processes.rank, processes.world_size, processes.is_main) == (0, 1, True)
    assert processes.shard([3, 1, 2]) == [3, 1, 2]
    processes.barrier()
    processes.close()


def test_alone_every_claim_yields_all_and_every_count_starts_anew():
    processes = Processes({})
    for _ in range(2):
        assert list(processes.claim("abc")) == ["a", "b", "c"]
        count = processes.count()
        assert [count.add(2), count.add(1)] == [2, 3]
    assert list(processes.claim([])) == []


def test_two_processes_claim_every_unit_once_and_count_together(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        "from pathlib import Path\n"
        "from music.processes import Processes\n"
        "processes, found = Processes(), []\n"
        "for units in (range(50), range(100, 130)):\n"
        "    count = processes.count()\n"
        "    found += [(unit, count.add(1)) for unit in processes.claim(units)]\n"
        "Path(__file__).with_name(f'found-{processes.rank}').write_text(repr(found))\n"
        "processes.barrier()\n"
        "processes.close()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = [pair for path in tmp_path.glob("found-*") for pair in ast.literal_eval(path.read_text())]
    assert sorted(unit for unit, _ in found) == [*range(50), *range(100, 130)]
    assert sorted(count for _, count in found) == sorted([*range(1, 51), *range(1, 31)])


def test_torchrun_with_one_process_needs_no_meeting():
    assert Processes({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}).world_size == 1


def test_accelerate_that_starts_one_of_two_is_an_error():
    alone = {"ACCELERATE_MIXED_PRECISION": "no"}
    assert Processes(alone).is_main
    with pytest.raises(InputError, match="torchrun"):
        Processes({**alone, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"})


@pytest.mark.parametrize(
    "environment",
    [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two", "RANK": "0"}, {"WORLD_SIZE": "2", "RANK": "2"}],
)
def test_an_environment_that_makes_no_sense_is_an_error(environment):
    with pytest.raises(InputError, match="torchrun"):
        Processes(environment)


def test_accelerate_launch_of_two_on_cpu_fails(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("from music.processes import Processes\nprint('size', Processes().world_size)\n")
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        str(script),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "size" not in done.stdout
    assert "torchrun" in done.stderr


def test_a_process_that_never_comes_is_an_error(tmp_path):
    code = """
import datetime, socket
from music import processes
from music.errors import InputError
processes._MEETING = datetime.timedelta(seconds=2)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
import os
os.environ.update(WORLD_SIZE="2", RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
try:
    processes.Processes()
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "announces 2 processes but they did not meet" in done.stdout
