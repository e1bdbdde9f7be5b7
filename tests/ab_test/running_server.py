"""A real server in a process of its own, and a rater who talks to it without a browser."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a token for tests only"


def command(*arguments, **environment) -> dict:
    """Return what `subprocess` is told to start a command of listening tests."""
    words = [sys.executable, "-m", "experiments.ab_test", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return {"args": words, "cwd": ROOT, "env": environment, "text": True}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class RunningServer:
    """``python -m experiments.ab_test serve``, on one port through all its lives."""

    def __init__(self, *folders: Path, database: str = "", most_raters: int = 1000) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = ["serve", *folders, "--port", self.port, "--most_raters", most_raters]
        self._command += ["--database", database] if database else []
        self.start()

    def start(self) -> None:
        told = command(*self._command, AB_TEST_ADMIN_TOKEN=TOKEN)
        self._process = subprocess.Popen(**told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.address}/").status_code < 500:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(self._process.stdout.read() if self._process.stdout else "")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> str:
        """End it as Ctrl-C does, and return what it printed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.communicate(timeout=20)[0]

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def admin(self, study: str, what: str) -> list[dict]:
        reply = httpx.get(
            f"{self.address}/admin/{study}/{what}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        )
        assert reply.status_code == 200, reply.text
        return [json.loads(line) for line in reply.text.splitlines()]


class HttpRater:
    """Talks to the server as the page does."""

    def __init__(self, address: str, study: str, secret: str | None = None, timeout: float = 60.0) -> None:
        self.secret = secret or secrets.token_hex(32)
        self.client = httpx.Client(
            base_url=f"{address}/s/{study}/",
            headers={"Authorization": f"Bearer {self.secret}"},
            timeout=timeout,
        )

    def join(self, **origin):
        """Take part and practise; the reply holds the first turn."""
        joined = self.client.put("api/me", json={"consent": True, "origin": origin})
        return joined if joined.is_error else self.client.put("api/me/practised")

    def me(self):
        return self.client.get("api/me")

    def answer(self, state: dict, **changes):
        return self.send(state["position"], answer_to(state["turn"], **changes))

    def send(self, position: int, answer: dict):
        return self.client.put(f"api/me/turns/{position}", json=answer)


def answer_to(turn: dict, choice: str = "a", **changes) -> dict:
    """Return an answer that has listened to just enough."""
    judged = {"choice": choice, "confidence": 4}
    heard = {f"heard_{name}": turn[name]["needed"] for name in "ab"}
    return {"trial": turn["trial"], "alignment": judged, "musicality": judged, **heard, **changes}
