"""The interpreter that has imported the libraries and forks for each client.

`python tests/warm/server.py SOCKET STAND_IN`, with the number of a socket that listens and the path of the stand-in.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    *(
        "torch",
        "torch.distributed.fsdp",
        "torch.distributed.launcher.api",
        "torch._dynamo",
        "numpy",
        "pandas",
        "yaml",
    ),
    *("tqdm", "safetensors.torch", "soundfile", "soxr", "httpx", "accelerate", "accelerate.commands.launch"),
    *("transformers", "transformers.models.auto.modeling_auto", "transformers.generation.utils"),
    *("transformers.models.musicgen.modeling_musicgen", "transformers.models.t5.modeling_t5"),
    *("transformers.models.xlm_roberta.modeling_xlm_roberta", "transformers.trainer"),
    *("transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer", "peft", "trl"),
    *("matplotlib.pyplot", "scipy.stats", "fastapi", "uvicorn", "sqlalchemy"),
)
#: variables that libraries read when they are imported
READ_AT_IMPORT = ("HF_", "OMP_", "MKL_", "ATEN_", "TRANSFORMERS_", "PYTHONHASHSEED", "LD_", "MPL")


def load_libraries() -> None:
    """Import them, with ours forgotten again: commands import that themselves."""
    sys.path.insert(0, str(ROOT))
    before = set(sys.modules)
    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    for name in LIBRARIES:
        importlib.import_module(name)
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "music":
            del sys.modules[name]
    sys.path.remove(str(ROOT))
    gc.collect()
    gc.freeze()


class Server:
    """Forks for each client that connects; when a client dies, so does its process."""

    def __init__(self, listening: int) -> None:
        self._socket = socket.socket(fileno=listening)
        self._clients: dict[int, socket.socket] = {}  # by the process that each waits for
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(woken, selectors.EVENT_READ)
        self._woken = woken
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        """End with all processes that still run, as after a test that failed."""
        for pid in self._clients:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def wait_for_one(self) -> None:
        """Wait until anybody has connected: tests that start nothing load nothing."""
        select.select([self._socket], [], [])

    def next_job(self) -> tuple[dict[str, Any], list[int]]:
        """Return, in a forked process, what to run, and its standard files."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._socket:
                    job = self._fork(self._socket.accept()[0])
                    if job is not None:
                        return job
                elif key.fileobj == self._woken:
                    os.read(self._woken, 4096)
                    self._reap()
                elif not key.fileobj.recv(1):  # type: ignore[union-attr]
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _fork(self, client: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
        _, files, _, _ = socket.recv_fds(client, 1, 3)
        job = json.loads(client.makefile().readline())
        if {name: job["environment"].get(name) for name in _IMPORTED} != _IMPORTED or any(
            name.startswith(READ_AT_IMPORT) and name not in _IMPORTED for name in job["environment"]
        ):
            client.sendall(b"no\n")
            client.close()
        elif pid := os.fork():
            client.sendall(f"pid {pid}\n".encode())
            self._clients[pid] = client
            self._selector.register(client, selectors.EVENT_READ, pid)
        else:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for one in (self._socket, client, *self._clients.values()):
                one.close()
            self._selector.close()
            return job, files
        for file in files:
            os.close(file)
        return None

    def _reap(self) -> None:
        while self._clients:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            client = self._clients.pop(pid)
            if client in {key.fileobj for key in self._selector.get_map().values()}:
                self._selector.unregister(client)
                with contextlib.suppress(OSError):
                    client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            client.close()


_IMPORTED = {name: value for name, value in os.environ.items() if name.startswith(READ_AT_IMPORT)}
server = Server(int(sys.argv[1]))
server.wait_for_one()
load_libraries()
PATH = sys.path[1:]
job, files = server.next_job()

for number, file in enumerate(files):
    os.dup2(file, number)
    os.close(file)
os.environ.clear()
os.environ.update(job["environment"])
os.chdir(job["folder"])
random.seed()
sys.executable = sys.argv[2]
words = job["words"]
sys.orig_argv = [sys.executable, *words]
given = [place for place in job["environment"].get("PYTHONPATH", "").split(os.pathsep) if place]
first = job["folder"] if words[0] == "-m" else str(Path(words[0]).resolve().parent)
sys.path[:] = [first, *given, *PATH]
importlib.invalidate_caches()
in_front = {
    name.partition(".")[0] for place in (first, *given) if os.path.isdir(place) for name in os.listdir(place)
}
for name in [name for name in sys.modules if name.split(".")[0] in in_front]:
    del sys.modules[name]  # a file of that name would have been imported in its place
code: object = 0
try:
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
except SystemExit as end:
    code = end.code
except BaseException as error:
    sys.excepthook(type(error), error, error.__traceback__)
    code = error
threading._shutdown()  # type: ignore[attr-defined]
atexit._run_exitfuncs()
if isinstance(code, KeyboardInterrupt):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
if isinstance(code, str):
    print(code, file=sys.stderr)
with contextlib.suppress(OSError):  # of a pipe that nobody reads any more
    sys.stdout.flush()
    sys.stderr.flush()
os._exit(
    code if isinstance(code, int) else int(code is not None)
)  # taking thousands of modules down takes a while
