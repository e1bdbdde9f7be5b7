"""A real server of `scaling.browse`, in a process of its own, and pools for it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from music.pool import Pool
from music.scores import ScoreTable
from tests.web_pages import Tags

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("musicality", "alignment")


def add_scores(pool: Pool, scorer: str = "judge", version: str = "1", metrics=METRICS, seed: int = 0):
    """Score a pool with numbers that are all different, and return them by key and metric."""
    import numpy as np

    generator = np.random.default_rng(seed)
    made = {
        candidate.key: dict(zip(metrics, generator.normal(size=len(metrics)), strict=True))
        for candidate in pool
    }
    with ScoreTable(pool.folder, scorer, version, metrics) as table:
        for candidate in pool:
            table.append(candidate, made[candidate.key])
    table.merge()
    return made


class BrowseServer:
    """``python -m scaling.browse``, until it is stopped or killed."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scaling.browse", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+", self.line)
        if not found:
            raise RuntimeError(self.line + self.process.communicate()[0])
        self.address = found[0]
        self.port = int(self.address.rsplit(":")[-1])
        self.client = httpx.Client(base_url=self.address, timeout=60)

    def stop(self) -> tuple[int, str]:
        """End it as Ctrl-C does; return its code and what else it printed."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output = self.process.communicate(timeout=30)[0]
        return self.process.returncode, output

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.client.close()
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> "BrowseServer":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def rows(self, **query) -> list[dict[str, str | None]]:
        """Return the attributes of the candidates on a page, in order."""
        reply = self.client.get("/", params=query)
        assert reply.status_code == 200, reply.text
        return [one for one in Tags(reply.text).of("div") if one.get("class") == "row"]

    def shown(self, **query) -> list[tuple[str, int]]:
        """Return prompt id and index of the candidates on a page, in order."""
        return [(str(row["data-prompt"]), int(str(row["data-candidate"]))) for row in self.rows(**query)]

    def mark(self, candidate, favourite: bool = True, pool: int = 0) -> httpx.Response:
        """Mark a candidate as the page does."""
        keys = {
            "prompt_id": candidate.prompt_id,
            "candidate": candidate.candidate,
            "sha256": candidate.sha256,
        }
        return self.client.put("/favourites", json={"pool": pool, "favourite": favourite, **keys})
