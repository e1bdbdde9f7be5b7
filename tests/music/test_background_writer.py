"""Writing beside the making: nobody waits for the disk until too much waits for it, and no error is lost."""

import threading
from typing import Any

import pytest
import torch

from music.clips import Clip
from music.errors import InputError
from music.pool import Pool
from music.pool_writer import BackgroundWriter
from music.prompts import Prompt

PROMPT = Prompt("a", "first")
CLIP = Clip(torch.zeros(1, 800), 8_000)
LONG = 30.0  # s; never waited for, unless the test fails


class StuckDisk:
    """Stands in for a `PoolWriter`: writes nothing before it is opened, and fails where it is told to."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.open = threading.Event()
        self.fails_at = fails_at
        self.written: list[int] = []

    def add(self, prompt: Prompt, candidate: int, *rest: Any) -> None:
        assert self.open.wait(LONG)
        if candidate == self.fails_at:
            raise InputError("the disk is full")
        self.written.append(candidate)


def add(writer: BackgroundWriter, candidate: int) -> None:
    writer.add(PROMPT, candidate, 0, CLIP)


def add_three(disk: Any, then: BaseException | None = None) -> None:
    """Add three clips while the disk is stuck, then open it, and perhaps fail oneself."""
    with BackgroundWriter(disk, waiting=3) as writer:
        for candidate in range(3):
            add(writer, candidate)  # were it written here, the disk would stay stuck
        assert disk.written == []
        disk.open.set()
        if then is not None:
            raise then


def add_many(disk: Any, added: list[int]) -> None:
    with BackgroundWriter(disk, waiting=3) as writer:
        for candidate in range(100):
            add(writer, candidate)
            added.append(candidate)


def test_the_caller_goes_on_while_the_disk_is_stuck_and_leaving_writes_what_waits():
    disk = StuckDisk()
    add_three(disk)
    assert disk.written == [0, 1, 2]


def test_the_caller_waits_when_too_much_waits():
    disk = StuckDisk()
    with BackgroundWriter(disk, waiting=3) as writer:
        for candidate in range(3):
            add(writer, candidate)
        fourth = threading.Thread(target=add, args=(writer, 3))
        fourth.start()
        fourth.join(0.1)
        assert fourth.is_alive()
        disk.open.set()
        fourth.join(LONG)
        assert not fourth.is_alive()
    assert disk.written == [0, 1, 2, 3]


def test_an_error_stops_the_caller_at_one_of_the_next_clips():
    disk = StuckDisk(fails_at=1)
    disk.open.set()
    added: list[int] = []
    with pytest.raises(InputError, match="the disk is full"):
        add_many(disk, added)
    assert len(added) <= 1 + 3
    assert disk.written == [candidate for candidate in added if candidate != 1]


def test_an_error_at_the_very_end_is_not_lost():
    with pytest.raises(InputError, match="the disk is full"):
        add_three(StuckDisk(fails_at=2))


@pytest.mark.parametrize("reason", [RuntimeError("no more music"), KeyboardInterrupt()])
def test_what_was_made_is_written_when_the_making_fails(reason: BaseException):
    disk = StuckDisk(fails_at=1)
    with pytest.raises(type(reason)) as caught:
        add_three(disk, then=reason)
    assert caught.value is reason
    assert disk.written == [0, 2]


def test_a_clip_that_cannot_be_written_is_named_and_has_no_row(tmp_path):
    pool = Pool(tmp_path / "pool", create=True)
    broken = Clip(torch.full((1, 800), torch.nan), 8_000)

    def add_four() -> None:
        with pool.writer("noise", {}) as writer, BackgroundWriter(writer) as background:
            for candidate in range(4):
                background.add(PROMPT, candidate, 0, broken if candidate == 2 else CLIP)

    with pytest.raises(InputError, match="candidate 2 of prompt 'a' holds NaN"):
        add_four()
    pool.reload()
    pool.verify()
    # the one after it may have been given before the error was known
    assert [found.candidate for found in pool] in ([0, 1], [0, 1, 3])
