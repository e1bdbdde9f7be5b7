"""What a launcher announces: one process, several, or nonsense; and what a site's own variables are taken for."""

import os
import signal
import subprocess
import sys

import pytest

from music.distributed.launched import Launched, launched
from music.errors import InputError
from music.processes import Processes


def test_torchrun_with_one_process_needs_no_meeting():
    assert Processes({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}).world_size == 1


def test_accelerate_that_starts_one_of_two_is_an_error():
    alone = {"ACCELERATE_MIXED_PRECISION": "no"}
    assert Processes(alone).is_main
    with pytest.raises(InputError, match="music-reward --num_processes 2"):
        Processes({**alone, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"})


@pytest.mark.parametrize(
    "environment",
    [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "two", "RANK": "0"}, {"WORLD_SIZE": "2", "RANK": "2"}],
)
def test_an_environment_that_makes_no_sense_is_an_error(environment):
    with pytest.raises(InputError, match="torchrun"):
        Processes(environment)


PLACE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("agent", "rank", "hosts"), [("True", 0, False), ("True", 1, False), ("", 0, True), ("", 1, False)]
)
def test_rank_0_opens_the_meeting_place_unless_torchrun_has(agent, rank, hosts):
    environment = {"WORLD_SIZE": "2", "RANK": f"{rank}", "LOCAL_RANK": "1", **PLACE}
    found = launched({**environment, "TORCHELASTIC_USE_AGENT_STORE": agent})
    assert found == Launched(rank, 2, 1, "127.0.0.1", 29500, hosts)


@pytest.mark.parametrize(
    "exported", [{}, {"MASTER_PORT": "29511"}, {"MASTER_PORT": "1", "MASTER_ADDR": "head"}]
)
def test_a_meeting_place_that_a_site_exports_is_not_accelerates(exported):
    started = """
import os, subprocess, sys
os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
subprocess.run(sys.argv[1:])
"""
    ask = "import os; from music.distributed.launched import launched; print(launched(os.environ).world_size)"
    done = subprocess.run(
        [sys.executable, "-c", started, sys.executable, "-c", ask],
        env={**os.environ, **exported},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n", done.stderr


def test_the_end_of_accelerate_launch_ends_what_it_started():
    launcher = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2]])"
    job = """
import signal, sys, time
from music.distributed.launched import end_with_accelerate
end_with_accelerate()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("told", flush=True)))
print("ready", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", launcher, "accelerate", job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == "told\n"
