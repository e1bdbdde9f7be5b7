"""The server in a process of its own: each answer once, whatever happens; nothing for those who may not."""

import json
import shutil
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from experiments.ab_test.analysis import export
from experiments.ab_test.analysis.export import Export
from experiments.ab_test.serving.answers import Origin
from experiments.ab_test.serving.database import Database, database_address
from experiments.ab_test.serving.serve import Serve
from experiments.ab_test.serving.serve import main as serve
from experiments.ab_test.serving.static import Static
from experiments.ab_test.serving.static import main as static
from experiments.ab_test.study import AUDIO, BLINDED, load_study
from music.errors import InputError
from tests.ab_test.running_server import TOKEN, HttpRater, RunningServer, answer_to
from tests.ab_test.small_study import build_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_study(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(folder):
    with RunningServer(folder / BLINDED) as server:
        yield server


@pytest.fixture(scope="module")
def study(folder):
    return load_study(folder)[0]


@pytest.fixture
def rater(server, study):
    return HttpRater(server.address, study.id)


def mine(server, study, rater_id):
    return [row for row in server.admin(study.id, "answers") if row["rater"] == rater_id]


def test_a_rater_goes_through_a_study(server, study, rater):
    state = rater.join(PROLIFIC_PID="pid-1").json()
    assert state["position"] == 0
    turns = study.schedules[server.admin(study.id, "raters")[-1]["place"]]
    for position, turn in enumerate(turns):
        shown = study.shown(turn)
        assert state["total"] == len(turns)
        asked = state["turn"]
        assert (asked["trial"], asked["a"]["file"], asked["b"]["file"]) == (turn[0], *shown)
        assert rater.me().json() == state  # a reload changes nothing
        state = rater.answer(state, choice="ab"[position % 2]).json()
    assert state["turn"] is None
    assert state["code"]
    rows = mine(server, study, state["rater"])
    assert [(row["trial"], row["swapped"]) for row in rows] == list(turns)
    assert [row["position"] for row in rows] == list(range(len(turns)))
    assert all(row["shown_at"] < row["answered_at"] for row in rows)
    assert [row["musicality"]["choice"] for row in rows[:3]] == ["a", "b", "a"]
    origin = next(row for row in server.admin(study.id, "raters") if row["id"] == state["rater"])
    assert origin["origin"]["PROLIFIC_PID"] == "pid-1"
    assert origin["finished_at"] >= rows[-1]["answered_at"]


def test_an_answer_is_stored_once(server, study, rater):
    state = rater.join().json()
    answer = answer_to(state["turn"])
    with ThreadPoolExecutor(8) as pool:  # a button that is hit eight times at once
        replies = list(pool.map(lambda _: rater.send(0, answer), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({json.dumps(reply.json()) for reply in replies}) == 1
    assert rater.send(0, answer_to(state["turn"], choice="b")).status_code == 409
    (row,) = mine(server, study, state["rater"])
    assert row["musicality"]["choice"] == "a"


def test_joining_twice_is_joining_once(server, study, rater):
    before = len(server.admin(study.id, "raters"))
    assert rater.join(PROLIFIC_PID="pid-2").json() == rater.join(PROLIFIC_PID="pid-2").json()
    assert len(server.admin(study.id, "raters")) == before + 1
    other = HttpRater(server.address, study.id)
    assert other.join(PROLIFIC_PID="pid-2").status_code == 409
    assert other.me().status_code == 401


def test_places_are_taken_evenly(server, study):
    for _ in range(8):
        HttpRater(server.address, study.id).join()
    places = [row["place"] for row in server.admin(study.id, "raters")]
    counts = [places.count(place) for place in range(len(study.schedules))]
    assert max(counts) - min(counts) <= 1


def test_forged_and_strange_raters_are_refused(server, study, rater):
    state = rater.join().json()
    for secret in ("0" * 64, "f" * 64, state["rater"] * 4):
        forged = HttpRater(server.address, study.id, secret)
        assert forged.me().status_code == 401
        assert forged.answer(state).status_code == 401
    for secret in ("0" * 63, "Z" * 64, "../" * 20, "' OR 1=1 --"):
        assert HttpRater(server.address, study.id, secret).join().status_code == 401
    assert httpx.get(f"{server.address}/s/{study.id}/api/me").status_code == 401
    assert mine(server, study, state["rater"]) == []


def test_answers_to_the_trials_of_others_or_out_of_turn_are_refused(server, study, rater):
    state = rater.join().json()
    place = server.admin(study.id, "raters")[-1]["place"]
    next_turn, other = study.schedules[place][1][0], study.practice
    assert rater.send(0, answer_to(state["turn"], trial=other)).status_code == 403
    assert rater.send(0, answer_to(state["turn"], trial=next_turn)).status_code == 403
    assert rater.send(1, answer_to(state["turn"], trial=next_turn)).status_code == 409
    assert rater.send(10**6, answer_to(state["turn"])).status_code == 409
    assert rater.send(-1, answer_to(state["turn"])).status_code == 422
    assert mine(server, study, state["rater"]) == []
    assert rater.answer(state).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({"heard_a": 0.0}, 422, "clip A must be heard for 0.2 s"),
        ({"heard_b": 0.1}, 422, "clip B must be heard"),
        ({"heard_a": 500.0}, 422, "heard for longer than they were shown"),
        ({"heard_a": -1.0}, 422, "heard_a"),
        ({"heard_a": "3"}, 422, "heard_a"),
        ({"musicality": {"choice": "c", "confidence": 3}}, 422, "musicality.choice"),
        ({"musicality": {"choice": "a", "confidence": 6}}, 422, "musicality.confidence"),
        ({"musicality": {"choice": "a", "confidence": 2.5}}, 422, "musicality.confidence"),
        ({"musicality": None}, 422, "musicality"),
        ({"comment": "x" * 1001}, 422, "comment"),
        ({"comment": "x" * 100_000}, 413, "too much"),
        ({"events": [{"at": 0.0, "what": "play", "clip": "a", "position": 0.0}] * 401}, 422, "events"),
        ({"events": [{"at": 0.0, "what": "<script>"}]}, 422, "events"),
        ({"rater": "0123456789abcdef"}, 422, "rater"),
        ({"trial": "../../key.json"}, 422, "trial"),
    ],
)
def test_what_is_no_answer_is_refused(server, study, rater, changes, status, expected):
    state = rater.join().json()
    reply = rater.send(0, answer_to(state["turn"]) | changes)
    assert reply.status_code == status
    assert expected in reply.json()["error"]
    assert "<script>" not in reply.text
    assert mine(server, study, state["rater"]) == []


@pytest.mark.parametrize("position", ["-1", 1 << 31, "9" * 30])
def test_a_turn_beyond_the_numbers_of_a_database_is_refused(server, study, rater, position):
    state = rater.join().json()
    reply = rater.send(position, answer_to(state["turn"]))
    assert reply.status_code == 422


def test_a_body_without_a_length_is_cut_off_too(server, rater):
    state = rater.join().json()
    try:
        reply = rater.client.put("api/me/turns/0", content=(b"x" * 10_000 for _ in range(20)))
        assert reply.status_code == 413
    except httpx.TransportError:
        pass  # the server has hung up while we were still sending
    assert rater.answer(state).status_code == 200


def test_text_is_kept_as_it_came(server, study, rater):
    state = rater.join().json()
    comment = "<script>alert(1)</script> ' OR 1=1 -- \u202e\U0001f3b5\n=1+1"
    state = rater.answer(state, comment=comment).json()
    (row,) = mine(server, study, state["rater"])
    assert row["comment"] == comment


@pytest.mark.parametrize(
    "path",
    [
        "s/{id}/audio/../study.json", "s/{id}/audio/..%2fstudy.json", "s/{id}/audio/%2e%2e/%2e%2e/key.json",
        "s/{id}/audio/..%5c..%5ckey.json", "s/{id}/audio//etc/passwd", "s/{id}/audio/%00", "s/{id}/page/../study.py",
        "s/{id}/page/..%2f..%2fserver.py", "s/{id}/page/study.html", "s/{id}/study.json", "s/../key.json",
        "s/nothing/", "docs", "openapi.json", "admin/nothing/answers", "blinded/study.json",
    ],
)  # fmt: skip
def test_no_path_leads_out(server, study, path):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)  # sends a path as it is
    connection.request("GET", "/" + path.format(id=study.id), headers={"Authorization": f"Bearer {TOKEN}"})
    reply = connection.getresponse()
    assert reply.status == 404
    assert b"seed" not in reply.read()


def test_makers_need_the_token(server, study):
    for header in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xe4"):
        for what in ("answers", "raters"):
            reply = httpx.get(
                f"{server.address}/admin/{study.id}/{what}",
                headers={"Authorization": header.encode("latin-1")},
            )
            assert reply.status_code == 401


def test_audio_comes_in_parts_and_every_reply_has_its_headers(server, study):
    name = next(iter(study.clips))
    reply = httpx.get(f"{server.address}/s/{study.id}/audio/{name}", headers={"Range": "bytes=4-9"})
    assert reply.status_code == 206
    assert len(reply.content) == 6
    assert reply.headers["content-type"] == "audio/flac"
    for path in (f"s/{study.id}/", f"s/{study.id}/api/study", "nothing", f"s/{study.id}/audio/{name}"):
        reply = httpx.get(f"{server.address}/{path}")
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert httpx.get(f"{server.address}/s/{study.id}/api/study").headers["cache-control"] == "no-store"


def test_nothing_a_rater_gets_tells_a_system_or_a_check(server, study, folder, rater):
    _, key = load_study(folder)
    state = rater.join().json()
    told = httpx.get(f"{server.address}/s/{study.id}/api/study").text
    while state["turn"]:
        told += json.dumps(state)
        state = rater.answer(state).json()
    for secret in (*key.systems, "spoilt", "catch", "identical", "swapped", "right"):
        assert f'"{secret}"' not in told


def test_a_kill_between_click_and_reply_loses_and_doubles_nothing(folder, tmp_path, study):
    """A server is killed after it has stored an answer and before the rater has the reply, and before it stores."""
    place = tmp_path / "answers.sqlite"
    with RunningServer(folder / BLINDED, database=f"sqlite:///{place}") as server:
        rater = HttpRater(server.address, study.id)
        state = rater.join().json()
        answer = answer_to(state["turn"], comment="once")
        with click(server, rater, study, answer), sqlite3.connect(place) as database:
            wait_for(lambda: database.execute("select answer from turns where answered_at > 0").fetchone())
            server.kill()
        server.start()
        assert rater.me().json()["position"] == 1  # what was stored is there
        again = rater.send(0, answer)  # what had no reply is sent again
        assert again.status_code == 200
        assert again.json() == rater.me().json()

        with sqlite3.connect(place, isolation_level=None) as database:
            database.execute("begin immediate")  # the server waits for us and stores nothing
            with click(server, rater, study, answer_to(again.json()["turn"], comment="twice"), 1):
                time.sleep(0.2)
                server.kill()
            database.execute("rollback")
        server.start()
        assert rater.me().json() == again.json()  # still asked, nothing is half stored
        assert rater.answer(again.json(), comment="twice").status_code == 200
        assert [row["comment"] for row in server.admin(study.id, "answers")] == ["once", "twice"]


@contextmanager
def click(server, rater, study, answer, position=0):
    """Send an answer and never read the reply."""
    body = json.dumps(answer).encode()
    head = (
        f"PUT /s/{study.id}/api/me/turns/{position} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    )
    head += f"Authorization: Bearer {rater.secret}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body)
        yield


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it never came true")


def test_no_more_raters_join_than_may(folder, tmp_path, study):
    address = f"sqlite:///{tmp_path / 'answers.sqlite'}"
    with RunningServer(folder / BLINDED, database=address, most_raters=2) as server:
        raters = [HttpRater(server.address, study.id) for _ in range(3)]
        states = [rater.join() for rater in raters]
        assert [state.status_code for state in states] == [200, 200, 403]
        assert "all the listeners" in states[2].json()["error"]
        assert raters[0].join().status_code == 200  # who is in stays in
        assert raters[0].answer(states[0].json()).status_code == 200
        assert len(server.admin(study.id, "raters")) == 2


def test_the_first_turn_is_shown_when_the_practice_is_over(server, study, rater):
    before = time.time()
    joined = rater.client.put("api/me", json={"consent": True}).json()
    assert (joined["turn"], joined["code"], joined["practised"]) == (None, "", False)
    turn = {"trial": study.schedules[0][0][0], "a": {"needed": 0.2}, "b": {"needed": 0.2}}
    assert rater.send(0, answer_to(turn)).status_code == 409
    time.sleep(0.3)
    state = rater.client.put("api/me/practised").json()
    rater.answer(state)
    (row,) = mine(server, study, state["rater"])
    assert before + 0.3 < row["shown_at"] < row["answered_at"]


def test_a_study_that_was_changed_is_not_served(folder, tmp_path, study):
    copy = shutil.copytree(folder / BLINDED, tmp_path / "blinded")
    with RunningServer(copy) as server:
        HttpRater(server.address, study.id).join()
    with sqlite3.connect(tmp_path / "answers.sqlite") as database:
        assert database.execute("select count(*) from raters").fetchone() == (1,)
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
    text = (copy / "study.json").read_text()
    (copy / "study.json").write_text(text.replace("Which music", "What music"))
    with pytest.raises(RuntimeError, match=r"error: study .* was changed after raters had begun"):
        RunningServer(copy)


def test_two_studies_at_once_do_not_mix(folder, tmp_path, study):
    other_folder = build_study(tmp_path, seed=2, ties=False)
    other = load_study(other_folder)[0]
    server = RunningServer(
        folder / BLINDED, other_folder / BLINDED, database=f"sqlite:///{tmp_path}/both.sqlite"
    )
    try:
        assert study.id in httpx.get(server.address).text
        rater = HttpRater(server.address, study.id)
        state = rater.join().json()
        elsewhere = HttpRater(server.address, other.id, rater.secret)
        assert elsewhere.me().status_code == 401
        assert elsewhere.answer(state).status_code == 401
        mine = elsewhere.join().json()
        assert elsewhere.answer(state).status_code == 403
        refused = elsewhere.answer(mine, choice="tie")  # here ties are not allowed
        assert "one of the two" in refused.json()["error"]
        rater.answer(state)
        assert len(server.admin(study.id, "answers")) == 1
        assert server.admin(other.id, "answers") == []
        clip = next(iter(other.clips))
        assert httpx.get(f"{server.address}/s/{study.id}/audio/{clip}").status_code == 404
    finally:
        server.stop()


@pytest.mark.parametrize("name", ["Which is better?", "a#b", "100%", "a&b=c", "sq:lite@home"])
def test_answers_lie_beside_the_study_whatever_its_folder_is_called(folder, tmp_path, study, name):
    shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("answers.sqlite*"))
    blinded = tmp_path / name / BLINDED
    database = Database(database_address("", blinded), {study.id: blinded})
    database.join(study.id, "0" * 64, Origin())
    database.close()
    assert (tmp_path / name / "answers.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    export.main(Export(tmp_path / name))
    assert len((tmp_path / name / "raters.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("database", "reason"),
    [
        (
            "answers.sqlite",
            "--database must be an address such as sqlite:///answers.sqlite, got 'answers.sqlite'",
        ),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be opened: .*unable to open database file"),
        ("oddbase://there", "cannot be opened: .*oddbase"),
        ("postgresql://a:b@127.0.0.1:port/x", "--database must be an address"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line(folder, study, database, reason):
    with pytest.raises(InputError, match=reason):
        Database(database_address(database, folder / BLINDED), {study.id: folder / BLINDED})


@pytest.mark.parametrize(
    "publish", [lambda at: serve(Serve([at])), lambda at: static(Static(at, at / "page"))]
)
def test_a_missing_clip_is_found_before_any_rater_comes(folder, tmp_path, study, publish):
    copy = shutil.copytree(folder / BLINDED, tmp_path / BLINDED)
    lost = sorted(study.files)[-1]
    (copy / AUDIO / lost).unlink()
    with pytest.raises(InputError, match=rf"audio lacks {lost} \(1 of \d+ files\): copy the whole folder"):
        publish(copy)


@pytest.mark.parametrize("kept", [0, 40, 4000])
def test_a_clip_that_a_copy_has_cut_is_found_before_any_rater_comes(folder, tmp_path, study, kept):
    copy = shutil.copytree(folder / BLINDED, tmp_path / BLINDED)
    file = copy / AUDIO / sorted(study.files)[-1]
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"{file.name} is cut short or damaged: copy the whole folder"):
        static(Static(copy, tmp_path / "page"))
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row["schedules"][0].append(["x", True]), "names the trial 'x', which it does not have"),
        (lambda row: row["schedules"].append([]), "has a schedule without turns"),
        (lambda row: row.update(schedules=[]), "has a schedule without turns"),
        (lambda row: row["clips"].pop(next(iter(row["trials"].values()))["first"]), "names the clip"),
        (
            lambda row: next(iter(row["prompts"].values())).update(reference="a.flac"),
            "names the reference 'a.fl",
        ),
        (
            lambda row: row.update(volume="../../key.json"),
            "names the file '../../key.json', which no study has",
        ),
        (lambda row: row.update(volume="x.wav"), "names the file 'x.wav', which no study has"),
        (lambda row: row["prompts"].pop(next(iter(row["prompts"]))), "names the prompt"),
    ],
)
def test_a_study_that_would_fail_a_rater_is_not_served(folder, tmp_path, change, reason):
    copy = shutil.copytree(folder / BLINDED, tmp_path / BLINDED)
    row = json.loads((copy / "study.json").read_text())
    change(row)
    (copy / "study.json").write_text(json.dumps(row))
    with pytest.raises(InputError, match=reason):
        serve(Serve([copy]))


@pytest.mark.parametrize("token", ["short", "sixteen letters ü", "two\nlines of a token"])
def test_a_token_that_no_header_can_hold_is_refused(folder, monkeypatch, token):
    monkeypatch.setenv("AB_TEST_ADMIN_TOKEN", token)
    with pytest.raises(
        InputError, match="AB_TEST_ADMIN_TOKEN must have at least 16 characters, all of ASCII"
    ):
        serve(Serve([folder / BLINDED]))
