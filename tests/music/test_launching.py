"""Processes of our own launcher: announced, told on, ended together, with the line and code of the one that failed."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from music import console
from music.distributed.launched import launched
from music.distributed.launching import count_of
from music.errors import InputError

LAUNCH = "import sys; from music.distributed.launching import launch; sys.exit(launch(sys.argv[2:], int(sys.argv[1])))"
#: what the processes begin with
BEGIN = """
import json, os, signal, sys, time
rank = int(os.environ["RANK"])

def end(code, *lines):
    print(*lines, sep="\\n", file=sys.stderr, flush=True)
    sys.exit(code)
"""


@contextmanager
def starting(job, count=2, **more):
    """Launch processes of a few lines of Python."""
    environment = {**os.environ, **more}
    command = [sys.executable, "-c", LAUNCH, str(count), sys.executable, "-c", BEGIN + job]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


def ran(job, count=2, **more):
    """Launch such processes and return the exit code, what they printed, and what stood on stderr."""
    with starting(job, count, **more) as process:
        output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def test_each_process_finds_what_torchrun_would_announce():
    code, output, _ = ran("print(json.dumps(dict(os.environ)))", 3, OMP_NUM_THREADS="")
    assert code == 0
    found = [json.loads(line) for line in output.splitlines()]
    assert sorted(one["RANK"] for one in found) == ["0", "1", "2"]
    assert all(one["LOCAL_RANK"] == one["RANK"] for one in found)
    assert {(one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"], one["OMP_NUM_THREADS"]) for one in found} == {
        ("3", "3", "1")
    }
    assert len({(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in found}) == 1
    assert [launched(one).hosts_store for one in found] == [one["RANK"] == "0" for one in found]


def test_threads_that_are_asked_for_stay():
    assert ran("print(os.environ['OMP_NUM_THREADS'])", OMP_NUM_THREADS="2")[1] == "2\n2\n"


def test_lines_stay_whole():
    job = """
for number in range(300):
    for part in (f"{rank} ", "line ", f"{number}", "\\n"):
        os.write(1 + number % 2, part.encode())
"""
    code, output, errors = ran(job)
    assert code == 0
    for first, text in ((0, output), (1, errors)):
        for rank in "01":
            own = [line for line in text.splitlines() if line.startswith(rank)]
            assert own == [f"{rank} line {number}" for number in range(first, 300, 2)]
        assert text.count("\n") == 300


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_line_is_that_of_the_process_that_failed(first):
    # the other one repeats it, and may be sooner to end
    job = f"""
if rank == {first}:
    time.sleep(0.3)
    end(2, "note: one row", "error: row 3 of x.jsonl is empty")
end(2, "error: process {first} on HOST has ended: row 3 of x.jsonl is empty", "note: this later")
"""
    code, _, errors = ran(job)
    assert code == 2
    lines = errors.splitlines()
    assert lines[-1] == "error: row 3 of x.jsonl is empty"
    assert sorted(lines[:-1]) == ["note: one row", "note: this later"]


def test_what_all_processes_refuse_is_told_once():
    code, _, errors = ran("end(2, 'error: --n must be at least 1, got 0')")
    assert (code, errors) == (2, "error: --n must be at least 1, got 0\n")


def test_a_defect_keeps_its_traceback_and_its_last_line_comes_last():
    job = """
if rank == 0:
    raise KeyError("codes")
time.sleep(0.3)
end(2, "error: process 0 on HOST has ended: KeyError: 'codes'")
"""
    code, _, errors = ran(job)
    assert code == 1
    assert "Traceback" in errors
    assert errors.endswith("\nKeyError: 'codes'\nerror: process 0 ended with code 1: KeyError: 'codes'\n")


def test_the_end_of_a_killed_process_ends_the_others(tmp_path):
    job = f"""
ready = {str(tmp_path / "ready")!r}
if rank == 1:
    while not os.path.exists(ready):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
signal.signal(signal.SIGTERM, lambda *_: end(143, "stopped by SIGTERM: what is finished stays"))
open(ready, "w").close()
time.sleep(60)
"""
    code, _, errors = ran(job)
    assert code == 137
    assert errors.splitlines() == [
        "stopped by SIGTERM: what is finished stays",
        "error: process 1 was ended by SIGKILL, perhaps for want of memory: finished work stays",
    ]


def test_who_does_not_end_is_killed(monkeypatch, capfd):
    from music.distributed import launching

    monkeypatch.setattr(launching, "_GRACE", 0.3)
    monkeypatch.setattr(launching, "_PATIENCE", 0.1)
    job = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if rank == 1:
    time.sleep(0.5)
    end(3, "error: no")
time.sleep(60)
"""
    assert launching.launch([sys.executable, "-c", BEGIN + job], 2) == 3
    assert capfd.readouterr().err == "error: no\n"


def test_code_1_is_no_failure():
    # as of a scoring that left something out: the others finish
    job = """
if rank == 1:
    end(1, "Traceback (most recent call last):", '  File "mine.py"', "KeyError: 'level'", "left out: a clip")
time.sleep(0.5)
print("written")
"""
    code, output, errors = ran(job)
    assert (code, output) == (1, "written\n")
    assert errors.endswith("KeyError: 'level'\nleft out: a clip\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_each_process_once(number, code):
    job = f"""
got = []
signal.signal({int(number)}, lambda *_: got.append(time.monotonic()))
print("ready", flush=True)
while not got:
    time.sleep(0.01)
time.sleep(0.3)
end({code}, f"got {{len(got)}}", "interrupted: the same command goes on from there")
"""
    with starting(job, start="") as process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines() == ["got 1", "got 1", "interrupted: the same command goes on from there"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells no child of its parent's end")
def test_nothing_outlives_a_killed_launcher(tmp_path):
    job = f"""
def stop(*_):
    open({str(tmp_path)!r} + f"/{{rank}}", "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(60)
"""
    with starting(job) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
        process.kill()
    deadline = time.monotonic() + 30
    while sorted(path.name for path in tmp_path.iterdir()) != ["0", "1"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_first_process_has_a_terminal_where_there_is_one():
    import pty
    import tty

    reading, printing = pty.openpty()
    tty.setraw(printing)
    job = """
if sys.stderr.isatty():
    print("\\rwork 1/2", end="", file=sys.stderr, flush=True)
    time.sleep(0.2)
    print("\\rwork 2/2\\r        \\rerror: x is empty", file=sys.stderr)
    sys.exit(2)
"""
    command = [sys.executable, "-c", LAUNCH, "2", sys.executable, "-c", BEGIN + job]
    done = subprocess.run(command, stderr=printing, stdout=subprocess.PIPE, timeout=60)
    os.close(printing)
    shown = os.read(reading, 4096).decode()
    os.close(reading)
    assert done.returncode == 2
    assert shown == "\rwork 1/2\rwork 2/2\r        \rerror: x is empty\n"


def test_the_number_comes_before_the_command():
    assert count_of(["--num_processes", "2", "score", "--num_processes"]) == (2, ["score", "--num_processes"])
    assert count_of(["--num_processes=1", "score"]) == (1, ["score"])
    assert count_of(["score", "--n", "2"]) == (1, ["score", "--n", "2"])
    assert count_of([]) == (1, [])


@pytest.mark.parametrize("given", ["0", "-1", "two", "2.0", "100000", "9" * 5000, "", None])
def test_a_number_that_makes_no_sense_is_refused(given):
    with pytest.raises(InputError, match=r"--num_processes must be from 1 to \d+, the cores of this machine"):
        count_of(["--num_processes", *([] if given is None else [given])])


@pytest.mark.parametrize("words", [["--num_processes", "2"], ["--num_processes=2"]])
@pytest.mark.parametrize("before", [[], ["--num_processes", "1"]])
def test_the_number_behind_the_command_is_told_where_it_belongs(words, before, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["music-reward", *before, "score", *words])
    with pytest.raises(SystemExit, match="2"):
        console.main()
    assert capsys.readouterr().err == (
        "error: --num_processes comes once, before the command: music-reward --num_processes N COMMAND ...\n"
    )


def test_ctrl_c_is_one_line_while_a_command_is_imported(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "dispatch", stopped)
    monkeypatch.setattr(sys, "argv", ["music-reward", "score"])
    with pytest.raises(SystemExit, match="130"):
        console.main()
    assert capsys.readouterr().err == "interrupted\n"
