"""Work on several cores gives what one gives, in order."""

import threading

import pytest
import torch

from music.devices import on_cores, threads_of_torch


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order_and_each_takes_its_share_of_threads(threads):
    weight = torch.ones(1, requires_grad=True)

    def work(item):
        return item, (item * weight).requires_grad, torch.get_num_threads(), threading.get_ident()

    found = on_cores(work, range(8), threads)
    assert [item for item, *_ in found] == list(range(8))
    assert not any(gradient for _, gradient, *_ in found)
    assert {share for *_, share, _ in found} == {1}
    assert len({thread for *_, thread in found}) <= threads
    assert torch.get_num_threads() == threads
    [(_, gradient, share, thread)] = on_cores(work, [0], threads)
    assert (gradient, share, thread) == (False, threads, threading.get_ident())
    assert on_cores(work, [], threads) == []


def test_an_error_comes_out(threads):
    with pytest.raises(ZeroDivisionError):
        on_cores((1).__truediv__, [2, 0, 4], threads)


def test_the_calling_thread_has_work_of_its_own_meanwhile():
    begun, done = threading.Event(), threading.Event()

    def work(item):
        begun.set()
        assert done.wait(10)  # else nothing was done beside it
        return item

    def meanwhile():
        assert begun.wait(10)
        done.set()

    assert on_cores(work, [1, 2], 2, meanwhile) == [1, 2]


def test_the_work_of_the_calling_thread_is_done_without_others():
    done = []
    assert on_cores(abs, [-1], 2, lambda: done.append("one item")) == [1]
    assert on_cores(abs, [-1, -2], 1, lambda: done.append("one core")) == [1, 2]
    assert done == ["one item", "one core"]


def test_the_number_of_threads_comes_back_after_an_error():
    before = torch.get_num_threads()
    found = []

    def fail():
        found.append(torch.get_num_threads())
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"), threads_of_torch(before + 1):
        fail()
    assert (found, torch.get_num_threads()) == ([before + 1], before)
