"""Processes that start at once: forks of an interpreter that has imported the libraries.

A command spends more time on importing torch and transformers than on a small model, and the suite starts hundreds.
`start` runs `tests/warm/server.py`, which imports what others wrote and nothing of ours, and puts a stand-in for the
interpreter at `sys.executable`. Whoever starts that, torchrun and accelerate too, gets a real process with its own
memory, files, environment, signals and exit code; only its libraries are there already. What the stand-in cannot serve
alike, such as code given by `-c` or a variable that libraries read when they are imported, is run by the interpreter.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


def start() -> Callable[[], None]:
    """Put the stand-in at `sys.executable`, and return what ends its server."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    real, stand_in = sys.executable, folder / "python"
    text = (HERE / "client.py").read_text()
    stand_in.write_text(f"#!{real} -IS\nREAL, ADDRESS = {real!r}, {str(folder / 'socket')!r}\n{text}")
    stand_in.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        listening.listen(64)
        command = [real, str(HERE / "server.py"), str(listening.fileno()), str(stand_in)]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()])
    sys.executable = str(stand_in)

    def stop() -> None:
        sys.executable = real
        server.terminate()
        server.wait()
        shutil.rmtree(folder)

    return stop
