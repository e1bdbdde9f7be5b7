"""Settings of the whole suite: one thread (or OMP_NUM_THREADS of them), no hub, Ctrl-C, long files first."""

import gc
import os
import signal

# Before torch is imported: tiny models run many times slower on two threads of a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

import music  # noqa: F401  # before anything is computed: it settles how products are
import tests.warm

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's job in the background begins
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Spare the collector all that has been imported: libraries call it often, and each time it looks at everything."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of slow tests, so that at the end no process is left alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def warm_processes():
    """Let processes start with their libraries imported."""
    stop = tests.warm.start()
    yield
    stop()
