"""The stand-in for the interpreter: hands its words to the server, passes signals on, and ends as the process did.

`tests.warm.start` puts `REAL` and `ADDRESS` before it.
"""

import json
import os
import signal
import socket
import sys

NOT_SERVED = {"pip", "venv", "build", "pytest", "ipykernel_launcher"}


def become_real() -> None:
    """Be the interpreter itself."""
    os.execv(REAL, [REAL, *sys.argv[1:]])  # noqa: F821


def main() -> None:
    """Let the server fork, and wait."""
    words = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
    module = words[1:2] if words[:1] == ["-m"] else []
    if not words or (words[0].startswith("-") and not module) or set(module) & NOT_SERVED:
        become_real()
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(ADDRESS)  # noqa: F821
    except OSError:
        become_real()
    pid = []
    passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    socket.send_fds(server, [b"!"], [0, 1, 2])
    asked = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)})
    server.sendall(asked.encode() + b"\n")
    answer = server.makefile().readline().split()
    if answer[:1] != ["pid"]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        become_real()
    pid.append(int(answer[1]))
    for one in passed_on:
        signal.signal(one, lambda number, _: os.kill(pid[0], number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    code = int(server.makefile().readline() or 1)
    if code < 0:
        if -code != signal.SIGKILL:  # whose effect nobody may set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
