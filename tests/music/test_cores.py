"""Work on several cores gives what one gives, in order."""

import threading

import pytest
import torch

from music.devices import on_cores


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

    found = on_cores(work, range(8))
    assert [item for item, *_ in found] == list(range(8))
    assert not any(gradient for _, gradient, *_ in found)
    assert {share for *_, share, _ in found} == {1}
    assert len({thread for *_, thread in found}) <= threads
    assert torch.get_num_threads() == threads
    [(_, gradient, share, thread)] = on_cores(work, [0])
    assert (gradient, share, thread) == (False, threads, threading.get_ident())
    assert on_cores(work, []) == []


def test_an_error_comes_out(threads):
    with pytest.raises(ZeroDivisionError):
        on_cores((1).__truediv__, [2, 0, 4])
