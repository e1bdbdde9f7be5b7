"""What a download from the hub raises becomes one line that says what to do."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from huggingface_hub import close_session

from generators.shared.model_folder import find_folder
from music.errors import InputError
from music.hub import UnreachableHubError
from music.prompts import load_prompts
from reward.cmi_rm.locations import Locator
from reward.data.tables import from_hub

ASK = {
    "prompts": load_prompts,
    "judgements": from_hub,
    "a part of a scorer": lambda name: Locator().folder(name, ("config.json",)),
    "a generator": lambda name: find_folder(name, f"hub:{name}", ("musicgen",)),
}


@pytest.fixture(params=ASK)
def ask(request, monkeypatch, tmp_path):
    """Return what asks a hub for a name, at an address where none is."""
    constants = {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "ENDPOINT": "http://127.0.0.1:9",
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    for name in ("all_proxy", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    close_session()  # whose client has read the environment of another test
    yield ASK[request.param]
    close_session()


def test_an_unreachable_hub_is_not_said_to_lack_anything(ask):
    with pytest.raises(UnreachableHubError, match=r"no .*a/b.* hub cannot be reached \(.*refused\)") as error:
        ask("a/b")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("all_proxy", "socks5://127.0.0.1:1", "(socks|refused)"),  # with the library for it, it is tried
        ("no_proxy", "localhost,fe11::/16", "Invalid port"),
        ("https_proxy", "nonsense://127.0.0.1", "(?i)proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(ask, monkeypatch, variable, value, reason):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UnreachableHubError, match=reason):
        ask("a/b")


def test_an_address_that_is_none_is_named(ask, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://localhost:80a")
    with pytest.raises(
        UnreachableHubError, match=r"cannot be asked \(Invalid port: '80a'\): see .*HF_ENDPOINT"
    ):
        ask("a/b")


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (404, "RepoNotFound", "the hub shows no such (data set|model): check the name"),
        (401, "RepoNotFound", "the hub shows no such (data set|model): check the name"),
        (403, "GatedRepo", r"accepts its conditions: do so at https://huggingface\.co/(datasets/)?a/b, then"),
        (500, "", "the hub does not give it: .*500|cannot be reached .*500"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(ask, monkeypatch, status, code, reason):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(InputError, match=reason):
        ask("a/b")
    server.shutdown()
    server.server_close()


def test_being_offline_is_told_in_few_words(ask, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UnreachableHubError, match=r"the hub cannot be reached \(HF_HUB_OFFLINE is set\): go online"
    ):
        ask("a/b")


def test_a_table_is_a_file_and_no_data_set():
    with pytest.raises(InputError, match=r"there is no file data/rows\.jsonl$"):
        from_hub("data/rows.jsonl")


@pytest.mark.parametrize("name", ["./rows", "a b/c", "rows/"])
def test_a_mistyped_path_is_not_looked_for_on_the_hub(ask, name):
    with pytest.raises(InputError, match=r"no (file|folder)|unknown"):
        ask(name)
