"""Favourites: one a prompt, of one audio, durable, seen by all; and ``best/`` takes them, the statistics do not."""

import json
import threading
from dataclasses import replace

import httpx
import pytest

from music.command import parse_command
from music.errors import InputError
from music.pool import Pool
from scaling.best_of_n import BestOfN, main
from scaling.browsing.favourites import favourite_places, mark, read_favourites
from tests.scaling.browsing import BrowseServer
from tests.scaling.finished_run import finished
from tests.scaling.noise_pool import make_noise_pool

SCORERS = "tests.scaling.loudness_scorer"


@pytest.fixture
def pool(tmp_path):
    return make_noise_pool(tmp_path, 3, 4).pool


def rows(pool):
    return [json.loads(line) for line in (pool.folder / "favourites.jsonl").read_text().splitlines()]


def test_one_favourite_a_prompt(pool):
    first, second, other = pool.candidates[0], pool.candidates[2], pool.candidates[5]
    for candidate in (first, other, second):
        mark(pool.folder, candidate, True)
    keys = ("prompt_id", "candidate", "sha256")
    assert rows(pool) == [{key: getattr(one, key) for key in keys} for one in (second, other)]
    mark(pool.folder, first, False)  # is none, and takes nothing away from the one that is
    assert len(rows(pool)) == 2
    mark(pool.folder, second, False)
    assert [row["prompt_id"] for row in rows(pool)] == [other.prompt_id]


def test_other_audio_under_the_same_name_is_no_favourite(pool):
    candidate = pool.candidates[0]
    mark(pool.folder, replace(candidate, sha256="0" * 64), True)
    mark(pool.folder, pool.candidates[5], True)
    of_prompts = [pool.candidates[start : start + 4] for start in (0, 4, 8)]
    assert favourite_places(read_favourites(pool.folder), of_prompts) == {1: 1}
    with BrowseServer(pool.folder, "--port", 0) as server:
        assert server.client.get("/favourites").json() == [{pool.candidates[5].prompt_id: 1}]
        assert server.shown(favourites=1) == [pool.candidates[5].key]


@pytest.mark.parametrize(
    "row", ['{"prompt_id": "a", "candidate": 1}', '{"prompt_id": "a", "candidate": "x", "sha256": ""}']
)
def test_a_row_that_is_none_is_told(pool, row):
    (pool.folder / "favourites.jsonl").write_text(f"\n{row}\n")
    with pytest.raises(InputError, match=r"favourites\.jsonl line 2: not a row of a favourite"):
        read_favourites(pool.folder)


def test_a_mark_outlives_the_server_and_is_seen_elsewhere(pool):
    with (
        BrowseServer(pool.folder, "--port", 0) as server,
        BrowseServer(pool.folder, "--port", 0) as elsewhere,
    ):
        marks = [{pool.candidates[6].prompt_id: pool.candidates[6].candidate}]
        assert server.mark(pool.candidates[6]).json() == marks
        assert elsewhere.client.get("/favourites").json() == marks
        server.kill()
        assert elsewhere.shown(favourites=1) == [pool.candidates[6].key]
        assert elsewhere.mark(pool.candidates[6], False).json() == [{}]
    assert rows(pool) == []


def test_what_was_acknowledged_before_a_kill_is_kept(pool):
    server = BrowseServer(pool.folder, "--port", 0)
    acknowledged = []

    def click():
        try:
            while True:
                for candidate in pool.candidates[:4]:
                    if server.mark(candidate).status_code == 200:
                        acknowledged.append(candidate.candidate)
        except httpx.TransportError:
            pass

    clicks = threading.Thread(target=click)
    clicks.start()
    while len(acknowledged) < 10:
        pass
    server.process.kill()
    clicks.join()
    server.kill()
    (kept,) = read_favourites(pool.folder).values()
    # the last that was acknowledged, or the one that was on its way
    assert kept.candidate in (acknowledged[-1], (acknowledged[-1] + 1) % 4)
    mark(pool.folder, pool.candidates[1], True)
    assert len(rows(pool)) == 1


def test_two_servers_lose_no_mark_of_each_other(tmp_path):
    pool = make_noise_pool(tmp_path, 24, 1).pool

    def click(server, candidates):
        for candidate in candidates:
            while (reply := server.mark(candidate)).status_code != 200:
                assert "another process is writing" in reply.text

    with BrowseServer(pool.folder, "--port", 0) as one, BrowseServer(pool.folder, "--port", 0) as two:
        work = [(one, pool.candidates[::3]), (one, pool.candidates[1::3]), (two, pool.candidates[2::3])]
        threads = [threading.Thread(target=click, args=part) for part in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(rows(pool)) == 24


def test_a_mark_of_nothing_is_refused(pool):
    one = pool.candidates[0]
    asked = {"pool": 0, "prompt_id": one.prompt_id, "candidate": 0, "sha256": one.sha256, "favourite": True}
    unknown = [{"candidate": 99}, {"sha256": "0" * 64}, {"pool": 1}, {"pool": -1}]
    malformed = [{"candidate": "0"}, {"favourite": 1}, {"prompt_id": None}]
    with BrowseServer(pool.folder, "--port", 0) as server:
        for change in (*unknown, *malformed):
            reply = server.client.put("/favourites", json=asked | change)
            assert reply.status_code == (404 if change in unknown else 400)
        for body in (b"[1]", b"{"):
            assert server.client.put("/favourites", content=body).status_code == 400
    assert not (pool.folder / "favourites.jsonl").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_musicgen, prompt_file):
    """Return the options of a run that is finished."""
    config = BestOfN(
        generator=str(tiny_musicgen),
        reward=f"{SCORERS}:LoudnessScorer",
        prompts=str(prompt_file),
        n=3,
        seconds=0.3,
        output=tmp_path_factory.mktemp("favourites") / "run",
        ignore_unsupported=True,
        batch_size=3,
        device="cpu",
    )
    main(config)
    return config


def best_rows(run):
    return [json.loads(line) for line in (run.output / "best" / "metadata.jsonl").read_text().splitlines()]


def test_best_takes_favourites_and_the_statistics_do_not(run, capsys):
    before, summary = finished(run.output)
    pool = Pool(run.output / "pool")
    chosen = {row["prompt_id"]: row["candidate"] for row in best_rows(run)}
    other = next(one for one in pool if one.prompt_id == "z" and one.candidate != chosen["z"])
    mark(pool.folder, other, True)
    mark(pool.folder, next(one for one in pool if one.key == ("test-1", 2)), True)
    stale = next(one for one in pool if one.prompt_id == "a/b")
    mark(pool.folder, replace(stale, sha256="0" * 64), True)

    capsys.readouterr()
    main(replace(run, favourites=True))
    told = capsys.readouterr().out
    assert (
        "best/: 2 of 3 chosen by hand; 1 favourites left out (not among these candidates, or of other audio"
        in told
    )
    by_id = {row["prompt_id"]: row for row in best_rows(run)}
    assert {one: (row["candidate"], row["chosen_by"]) for one, row in by_id.items()} == {
        "z": (other.candidate, "hand"),
        "test-1": (2, "hand"),
        "a/b": (chosen["a/b"], "reward"),
    }
    assert (run.output / "best" / by_id["z"]["file_name"]).read_bytes() == pool.path(other).read_bytes()
    assert len(list((run.output / "best").glob("*.flac"))) == 3
    _, after = finished(run.output)
    assert after.pop("by_hand") == {"z": other.candidate, "test-1": 2}
    assert after.pop("favourites_left_out") == ["a/b"]
    assert after == summary
    assert (
        f"z (candidate {other.candidate}), test-1 (candidate 2)" in (run.output / "report.html").read_text()
    )

    main(replace(run, favourites=True, n=2))  # candidate 2 is not among the first two
    assert "test-1" in finished(run.output)[1]["favourites_left_out"]

    main(run)  # without the option all is as it was before
    again, summary_again = finished(run.output)
    del again["pool/favourites.jsonl"]
    assert (again, summary_again) == (before, summary)


def test_a_torn_file_is_told_before_any_work(run, tmp_path):
    folder = tmp_path / "new" / "pool"
    folder.mkdir(parents=True)
    (folder / "favourites.jsonl").write_text('{"prompt_id": 1}\n')
    with pytest.raises(InputError, match="not a row of a favourite"):
        main(replace(run, output=folder.parent, favourites=True))
    assert [file.name for file in folder.iterdir()] == ["favourites.jsonl"]


def test_the_option_on_the_command_line():
    assert parse_command(BestOfN, ["--favourites", "true"]).favourites
    assert not parse_command(BestOfN, []).favourites
