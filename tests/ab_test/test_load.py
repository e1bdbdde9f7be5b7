"""A hundred raters at once, and another database than SQLite."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from experiments.ab_test.simulate import SimulatedRater, system_utilities, take_part
from experiments.ab_test.study import BLINDED, load_study
from music.progress import progress
from tests.ab_test.running_server import RunningServer, free_port
from tests.ab_test.small_study import build_study


def rate(folder, server, raters):
    study, key = load_study(folder)
    utilities = system_utilities(key, {"best-of-three": 1.0, "single": 0.0})
    people = [SimulatedRater(study, utilities, False, 0.1, f"0-{number}") for number in range(raters)]
    with progress(total=0) as bar:
        waits = asyncio.run(take_part(server.address, people, bar))
    rows = server.admin(study.id, "answers")
    assert bar.n == bar.total == len(rows)
    assert len(rows) == len({(row["rater"], row["position"]) for row in rows})
    assert len(rows) == sum(len(study.schedules[row["place"]]) for row in server.admin(study.id, "raters"))
    return waits, server.admin(study.id, "raters")


@pytest.mark.slow
def test_a_hundred_raters_at_once(tmp_path):
    folder = build_study(tmp_path, raters=20)
    with RunningServer(folder / BLINDED) as server:
        waits, raters = rate(folder, server, 100)
    assert len(raters) == 100
    assert set(Counter(row["place"] for row in raters).values()) == {5}
    assert all(row["finished_at"] for row in raters)
    assert np.quantile(waits, 0.95) < 10, "a reply must come while a rater waits for it, on any machine"


@pytest.fixture
def postgres(tmp_path):
    """Return the address of a PostgreSQL server of our own."""
    found = [Path(path) for path in ("/usr/lib/postgresql", "/usr/local/bin")]
    binaries = sorted((path.parent for one in found for path in one.rglob("initdb")), reverse=True)
    which = shutil.which("initdb")
    if which:
        binaries.append(Path(which).resolve().parent)
    if not binaries:
        pytest.skip("PostgreSQL is not installed")
    runuser = shutil.which("runuser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if os.getuid() == 0 and not runuser:
        pytest.skip("PostgreSQL does not run as root, and runuser is not installed")
    as_user = [runuser, "-u", "nobody", "--"] if os.getuid() == 0 else []
    place = Path(tempfile.mkdtemp(prefix="ab-test-postgres-"))
    if as_user:
        shutil.chown(place, "nobody")
    port = free_port()

    def command(name, *arguments):
        words = [*as_user, str(binaries[0] / name), *arguments]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"PostgreSQL does not run here: {done.stderr.strip()[-200:]}")

    command("initdb", "-D", str(place / "data"), "-U", "maker", "-A", "trust")
    options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    command("pg_ctl", "-D", str(place / "data"), "-w", "-l", str(place / "log"), "-o", options, "start")
    yield f"postgresql+psycopg://maker@127.0.0.1:{port}/postgres"
    command("pg_ctl", "-D", str(place / "data"), "-m", "immediate", "stop")
    shutil.rmtree(place)


def test_postgresql(tmp_path, postgres):
    folder = build_study(tmp_path)
    with RunningServer(folder / BLINDED, database=postgres) as server:
        _, raters = rate(folder, server, 20)
        assert set(Counter(row["place"] for row in raters).values()) == {5}
        server.kill()
        server.start()
        assert len(server.admin(load_study(folder)[0].id, "raters")) == 20
