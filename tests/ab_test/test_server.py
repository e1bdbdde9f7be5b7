"""The server in a process of its own: each answer once, whatever happens; nothing for those who may not."""

import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from experiments.ab_test.study import BLINDED, load_study
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
        assert (state["turn"]["trial"], state["turn"]["a"]["file"], state["turn"]["b"]["file"]) == (
            turn[0],
            *shown,
        )
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
    assert rater.send(-1, answer_to(state["turn"])).status_code == 409
    assert mine(server, study, state["rater"]) == []
    assert rater.answer(state).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({"heard_a": 0.0}, 422, "clip A must be heard for 0.2 s"),
        ({"heard_b": 0.1}, 422, "clip B must be heard"),
        ({"heard_a": 500.0}, 422, "no more can be heard than time has passed"),
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
    """Raters click away while the server is killed twice; each sends again what had no reply."""
    database = f"sqlite:///{tmp_path / 'answers.sqlite'}"
    server = RunningServer(folder / BLINDED, database=database)
    finished, replied = [], []

    def take_part(number):
        rater = HttpRater(server.address, study.id, timeout=5)

        def insist(action):
            while True:
                try:
                    reply = action()
                    if reply.status_code == 200:
                        return reply.json()
                    raise AssertionError(reply.text)
                except httpx.TransportError:
                    time.sleep(0.02)

        state = insist(rater.join)
        while state["turn"]:
            answer = answer_to(
                state["turn"], choice="ab"[number % 2], comment=f"{number}-{state['position']}"
            )
            state = insist(lambda state=state, answer=answer: rater.send(state["position"], answer))
            replied.append(answer["comment"])
            time.sleep(0.05)
        finished.append(state["rater"])

    raters = [threading.Thread(target=take_part, args=(number,)) for number in range(4)]
    with server:
        for thread in raters:
            thread.start()
        for _ in range(2):
            time.sleep(0.5)
            server.kill()
            server.start()
        for thread in raters:
            thread.join(60)
        rows = server.admin(study.id, "answers")
    total = len(study.schedules[0])
    assert len(set(finished)) == 4
    assert len(rows) == 4 * total
    assert len({(row["rater"], row["position"]) for row in rows}) == 4 * total
    assert sorted(row["comment"] for row in rows) == sorted(replied)


def test_a_study_that_was_changed_is_not_served(folder, tmp_path, study):
    import shutil

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
        assert (
            "one of the two" in elsewhere.answer(mine, choice="tie").json()["error"]
        )  # here ties are not allowed
        rater.answer(state)
        assert len(server.admin(study.id, "answers")) == 1
        assert server.admin(other.id, "answers") == []
        clip = next(iter(other.clips))
        assert httpx.get(f"{server.address}/s/{study.id}/audio/{clip}").status_code == 404
    finally:
        server.stop()
