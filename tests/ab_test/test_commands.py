"""The commands as a user types them."""

import re
import signal
import socket
import subprocess
import sys
import threading
from functools import partial

import httpx
import pytest

from experiments.ab_test.__main__ import main
from experiments.ab_test.plan import Plan
from experiments.ab_test.simulate import Simulate
from experiments.ab_test.simulate import main as simulate
from experiments.ab_test.study import BLINDED, load_study
from music.command import parse_command
from music.errors import InputError
from tests.ab_test.running_server import ROOT, command, free_port
from tests.ab_test.small_study import make_pool


def run(*arguments, **environment):
    return subprocess.run(**command(*arguments, **environment), capture_output=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("listen",), "got 'listen'"),
        (("demo", "--pool", "nowhere"), "there is no pool nowhere: `make demo` makes it"),
        (("serve", "nowhere"), "nowhere/study.json does not exist"),
        (("check", "nowhere"), "nowhere/key.json does not exist"),
        (("build", "a=b"), "b is not a folder"),
        (("analyze", "nowhere"), "nowhere/key.json does not exist"),
        (("serve", "nowhere", "--host", ""), "--host must be an address"),
        (("simulate", "nowhere", "--tie_threshold", "-1"), "--tie_threshold must not be negative, got -1"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert expected in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "old", "new"),
    [
        (
            Plan,
            "--win_rate 0.6 --ties 0.2 --level 0.01",
            "--win_rate 0.6 --tie_share 0.2 --significance 0.01",
        ),
        (Simulate, "study --tie 0.2", "study --tie_threshold 0.2"),
    ],
)
def test_options_are_taken_by_their_old_names(config, old, new):
    assert parse_command(config, old.split()) == parse_command(config, new.split())


def test_a_port_that_is_taken_and_a_short_token_are_told(short_study):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("serve", short_study / BLINDED, "--port", taken.getsockname()[1])
        assert "choose another --port" in done.stderr
    assert "at least 16 characters" in run("serve", short_study / BLINDED, AB_TEST_ADMIN_TOKEN="short").stderr
    assert "name its folder" in run("serve", short_study).stderr


def test_a_server_that_is_not_there_is_told(short_study):
    done = run("simulate", short_study, "--address", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "does not answer" in done.stderr


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nonsense", "does not answer"),
        ("http://localhost:80a", "does not answer"),
        ("http://a..b", "does not answer"),
    ],
)
def test_an_address_that_is_none_is_told(three_systems, address, reason):
    with pytest.raises(InputError, match=f"{re.escape(address)} {reason}"):
        simulate(Simulate(three_systems, raters=1, address=address))


@pytest.mark.parametrize("text", ["<html>another site</html>", "[1]", '{"detail": "fine"}'])
def test_another_server_at_the_address_is_told(three_systems, monkeypatch, text):
    answered = httpx.MockTransport(lambda request: httpx.Response(200, text=text))
    client = partial(httpx.AsyncClient, transport=answered)
    monkeypatch.setattr(httpx, "AsyncClient", client)
    with pytest.raises(InputError, match="is no page of a listening test"):
        simulate(Simulate(three_systems, raters=1))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_strength_that_is_no_finite_number_is_refused(three_systems, number):
    name = next(iter(load_study(three_systems)[1].systems))
    with pytest.raises(InputError, match=f"--strengths: '{name}={number}' is no finite number"):
        simulate(Simulate(three_systems, strengths=f"{name}={number}"))


def test_a_server_needs_no_library_of_models():
    modules = ", ".join(f"experiments.ab_test.serving.{name}" for name in ("serve", "server", "static"))
    code = [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"]
    done = subprocess.run(**command() | {"args": code}, capture_output=True, check=True)
    assert not {"torch", "transformers", "scipy", "soundfile"} & set(done.stdout.split())


def test_a_library_that_is_missing_is_told_with_its_cure(short_study, tmp_path):
    (tmp_path / "fastapi.py").write_text("raise ModuleNotFoundError('No module', name='fastapi')\n")
    done = run("serve", short_study / BLINDED, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert 'fastapi is not installed: pip install -e ".[listening]"' in done.stderr


def test_the_demo_builds_and_serves_and_goes_on(tmp_path):
    make_pool(tmp_path, 8, 10)
    port = free_port()
    demo = command("demo", "--pool", tmp_path / "pool", "--output", tmp_path / "demo", "--port", port)
    for _ in range(2):
        server = subprocess.Popen(**demo, stdout=subprocess.PIPE)
        limit = threading.Timer(100, server.kill)
        limit.start()
        lines = iter(server.stdout.readline, "")
        address = next(line.split(": ", 1)[1].strip() for line in lines if "/s/" in line)
        assert httpx.get(address).status_code == 200
        server.send_signal(signal.SIGINT)
        server.communicate()
        limit.cancel()
    study, key = load_study(tmp_path / "demo")
    assert address == f"http://127.0.0.1:{port}/s/{study.id}/"
    assert list(key.systems) == ["top-10", "top-3", "top-1"]
