"""Processes: shares that cover the work, inputs that agree, and an end of one that is the end of all."""

import dataclasses
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from music.distributed import meeting
from music.distributed.same_inputs import agree_on_prompts, code_files, code_hash, inputs_of, meet
from music.errors import InputError, ServiceError
from music.hashing import sha256_text
from music.processes import Processes
from music.prompts import Prompt
from tests.music.together import announced, free_port, together


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


def test_several_claim_every_unit_once_and_count_together():
    def work(processes):
        found = []
        for units in (range(50), range(100, 130)):
            count = processes.count()
            found += [(unit, count.add(1)) for unit in processes.claim(units)]
        processes.barrier()
        return found

    found = [pair for part in together(3, work) for pair in part]
    assert sorted(unit for unit, _ in found) == [*range(50), *range(100, 130)]
    assert sorted(count for _, count in found) == sorted([*range(1, 51), *range(1, 31)])


def test_a_barrier_waits_for_the_last():
    began = time.monotonic()

    def work(processes):
        time.sleep(0.3 * processes.rank)
        processes.barrier()
        return time.monotonic() - began

    assert min(together(3, work)) >= 0.6


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
    assert "music-reward --num_processes 2" in done.stderr


def test_a_process_that_never_comes_is_named():
    with pytest.raises(
        InputError, match=r"announces 3 processes but they did not meet \(process 1, 2 did not come"
    ):
        Processes(announced(0, 3, free_port()), seconds=0.2)


def test_a_meeting_place_that_nobody_opens_is_an_error():
    with pytest.raises(InputError, match="announces 2 processes but they did not meet at"):
        Processes(announced(1, 2, free_port()), seconds=0.2)


@dataclasses.dataclass(frozen=True)
class Options:
    n: int = 1
    device: str = "cpu"


def test_processes_with_the_same_inputs_agree(tmp_path, monkeypatch):
    def work(processes):
        processes.agree({"--n": 1, "--limit": None, "weights": [float("nan")]}, tmp_path / "out")
        agree_on_prompts(processes, [Prompt("a", "b")])
        return list((tmp_path / "out").iterdir())

    assert together(3, work) == [[], [], []]
    for variable, value in announced(0, 1, 1).items():
        monkeypatch.setenv(variable, value)
    with meet(Options(), tmp_path / "alone", alone=True) as processes:
        assert processes.world_size == 1


def test_the_code_that_processes_compare_is_all_of_ours():
    root = Path(__file__).parents[2]
    assert {root / "scaling/best_of_n.py", root / "rlhf/train.py"} <= {*code_files()}
    assert code_hash() != sha256_text("")


def test_what_an_editor_leaves_beside_the_code_ends_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr("music.distributed.same_inputs._ROOT", tmp_path)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "old.py").write_bytes("# caf\u00e9".encode("latin-1"))
    (tmp_path / "music" / ".#new.py").symlink_to("somebody@host.123")
    assert code_files() == [tmp_path / "music" / "old.py"]
    assert code_hash.__wrapped__()


@pytest.mark.parametrize(
    ("differing", "told"),
    [
        (lambda processes: processes.agree({"--n": 3 + (processes.rank == 2)}), "another --n (4) than"),
        (
            lambda processes: processes.agree({"a": 1} | ({} if processes.rank else {"b": 2})),
            "another b (none) than",
        ),
        (
            lambda processes: agree_on_prompts(processes, [Prompt("a", "b" * (1 + processes.rank // 2))]),
            "another content of the prompts",
        ),
    ],
)
def test_one_with_other_inputs_ends_all_with_one_line_that_names_it(differing, told):
    errors = together(3, differing)
    assert [type(error) for error in errors] == [InputError] * 3
    assert len({str(error) for error in errors}) == 1
    assert told in str(errors[0])
    assert re.match(r"process [12] on \S+ has .* than process 0 on ", str(errors[0]))


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE"])
def test_what_decides_the_last_bits_is_compared(monkeypatch, name):
    before = inputs_of(Options())
    threads = torch.get_num_threads()
    monkeypatch.setenv(name, "3")
    torch.set_num_threads(3 if name == "OMP_NUM_THREADS" else threads)
    try:
        after = inputs_of(Options())
    finally:
        torch.set_num_threads(threads)
    assert [key for key in after if after[key] != before[key]] == [name]


def test_all_must_see_one_folder_for_the_results(tmp_path):
    errors = together(2, lambda processes: processes.agree({}, tmp_path / f"{processes.rank}" / "out"))
    assert [type(error) for error in errors] == [InputError] * 2
    assert str(tmp_path / "0" / "out") in str(errors[0])
    assert str(tmp_path / "1" / "out") in str(errors[1])


@pytest.mark.parametrize("waits_in", ["barrier", "agree"])
def test_the_end_of_one_ends_those_who_wait_for_it(waits_in):
    def work(processes):
        if processes.rank == 1:
            raise InputError("prompts.jsonl line 3: expected a text")
        processes.barrier() if waits_in == "barrier" else processes.agree({})

    began = time.monotonic()
    first, _, third = together(3, work)
    assert time.monotonic() - began < 30  # on a busy machine; else minutes
    for error in (first, third):
        assert isinstance(error, ServiceError)
        assert "process 1 on " in str(error)
        assert str(error).endswith("has ended: prompts.jsonl line 3: expected a text")


def test_ctrl_c_in_all_is_no_error_of_one():
    def work(processes):
        if processes.rank == 1:
            raise KeyboardInterrupt
        while not processes.ended():
            time.sleep(0.01)
        raise KeyboardInterrupt  # as the watch does

    errors = together(2, work)
    assert [type(error) for error in errors] == [KeyboardInterrupt] * 2


def test_the_end_of_one_ends_those_who_work(monkeypatch):
    def work(processes):
        for unit in processes.claim(range(1000)):
            if processes.rank == 1:
                raise ValueError("no more")
            time.sleep(0.05 if unit else 0.2)

    began = time.monotonic()
    ended, error = together(2, work)
    assert isinstance(error, ValueError)
    assert isinstance(ended, ServiceError)
    assert str(ended).endswith("has ended: ValueError: no more")
    assert time.monotonic() - began < 30  # on a busy machine; else 50


def test_an_error_that_comes_of_the_end_of_another_is_not_shown():
    def work(processes):
        if processes.rank == 1:
            raise InputError("bad row")
        time.sleep(0.5)
        raise RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer")

    error, _ = together(2, work)
    assert isinstance(error, ServiceError)
    assert str(error).endswith("has ended: bad row")


def test_who_leaves_early_is_not_waited_for():
    error, _ = together(2, lambda processes: processes.rank or processes.barrier())
    assert isinstance(error, ServiceError)
    assert "process 1 on " in str(error)


def test_who_gives_no_sign_of_life_is_taken_for_dead(monkeypatch):
    monkeypatch.setattr(meeting, "_SILENT", 1.0)
    monkeypatch.setattr(meeting, "_GRACE", 0.5)

    def work(processes):
        if processes.rank == 1:
            processes._meeting._closed.set()  # as after a kill: no thread speaks for it
            time.sleep(2.5)
            return None
        processes.barrier()

    error, _ = together(2, work)
    assert isinstance(error, ServiceError)
    assert "process 1 on " in str(error)
    assert "no sign of life" in str(error)


def test_a_later_attempt_over_the_same_store_begins_anew():
    port = free_port()
    agent = dist.TCPStore(
        "127.0.0.1", port, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=9)
    )

    def work(processes):
        claimed = list(processes.claim(range(20)))
        processes.barrier()
        return claimed

    def fail(processes):
        list(processes.claim(range(5)))
        if processes.rank:
            raise ValueError
        processes.barrier()

    for attempt in range(3):
        more = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": f"{attempt}"}
        assert isinstance(together(2, fail, port, **more)[0], ServiceError)
        assert sorted(unit for part in together(2, work, port, **more) for unit in part) == [*range(20)]
    del agent
