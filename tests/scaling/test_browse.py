"""The server of candidates: what it shows, in which order, page by page, and what it does not give away."""

import hashlib
import html
import http.client
import json
import re

import pytest

from music.candidate import Origin
from music.clips import write_clip
from music.command import run
from music.errors import InputError
from music.pool import Pool
from music.prompts import Prompt
from scaling.browse import Browse, main
from scaling.browsing.listing import read_listing
from scaling.browsing.page import Shelf
from scaling.browsing.selection import Query, select
from tests.scaling.browsing import METRICS, BrowseServer, add_scores
from tests.scaling.noise_pool import clip, make_noise_pool
from tests.web_pages import Tags, assert_balanced

PROMPTS, N = 23, 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a scored pool of three pages."""
    return make_noise_pool(tmp_path_factory.mktemp("browse"), PROMPTS, N).pool


@pytest.fixture(scope="module")
def scores(made):
    return add_scores(made)


@pytest.fixture(scope="module")
def server(made, scores):
    with BrowseServer(made.folder, "--port", 0) as server:
        yield server


@pytest.fixture(scope="module")
def page(server):
    return server.client.get("/").text


def reward(scores, key):
    return sum(scores[key].values()) / 2


def pages(server, **query):
    return [key for number in (1, 2, 3) for key in server.shown(page=number, **query)]


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(server, page):
    assert_balanced(page)
    tags = Tags(page)
    assert [script["src"] for script in tags.of("script")] == ["/browse.js"]
    assert "http" not in page
    assert "http" not in server.client.get("/browse.js").text
    assert "default-src 'none'" in server.client.get("/").headers["content-security-policy"]


def test_prompts_cannot_put_markup_into_the_page(page):
    assert "<script>alert" not in page
    assert "noise &amp; tone &lt;script&gt;alert(0)" in page


def test_each_candidate_comes_with_all_that_is_known_of_it(made, scores, server, page):
    candidate = made.candidates[1]
    row = page[page.index(f'data-sha256="{candidate.sha256}"') :]
    row = row[: row.index("</section>")].split('class="row"')[0]
    assert f"seed {candidate.seed}" in row
    assert "0.5 s" in row
    numbers = [float(text.replace("−", "-")) for text in re.findall(r"</small>(−?[\d.]+)</span>", row)]
    wanted = [reward(scores, candidate.key), *scores[candidate.key].values()]
    assert numbers == pytest.approx(wanted, abs=0.006)


def test_a_recorded_clip_comes_with_its_name_and_its_system(tmp_path):
    prompt, pool = Prompt("p", "calm"), Pool(tmp_path / "pool", create=True)
    origins = [Origin("take <1>.wav", "MusicGen & co"), Origin("take 2.wav"), Origin()]
    with pool.writer("recorded", {}) as writer:
        for index, origin in enumerate(origins):
            writer.add(prompt, index, 40 + index, clip(index, 8000, 1), origin=origin)
    pool.merge()
    listings = [read_listing(tmp_path)]
    page = Shelf(listings).page(Query(), select(listings, [{}], Query()), [{}])
    assert_balanced(page)
    rows = page.split('class="row"')[1:]
    assert ">take &lt;1&gt;.wav<" in rows[0]
    assert ">by MusicGen &amp; co<" in rows[0]
    assert ">take 2.wav<" in rows[1]
    assert [("by " in row, "seed" in row) for row in rows[1:]] == [(False, False), (False, True)]


def test_the_choice_of_the_reward_is_marked_once_a_prompt(scores, page):
    chosen = []
    for section in page.split('<section class="card prompt">')[1:]:
        for row in section.split('class="row"')[1:]:
            if "reward’s choice" in row:
                prompt = re.search('data-prompt="([^"]*)"', row)[1]
                chosen.append((html.unescape(prompt), int(re.search(r'data-candidate="(\d+)"', row)[1])))
    ids = sorted({key[0] for key in scores})[:10]
    assert chosen == [max(((one, k) for k in range(N)), key=lambda key: reward(scores, key)) for one in ids]


def test_pages_hold_every_candidate_once_in_the_order_of_the_pool(made, server):
    assert pages(server) == [candidate.key for candidate in made]
    assert len(server.shown(page=1)) == 10 * N
    assert len(server.shown(page=3)) == 3 * N
    assert server.shown(page=99) == server.shown(page=3)


@pytest.mark.parametrize("lowest_first", [False, True])
@pytest.mark.parametrize("metric", ["reward", "alignment"])
def test_sorting_goes_through_all_pages(scores, server, metric, lowest_first):
    sign = 1 if lowest_first else -1
    value = {
        key: sign * (reward(scores, key) if metric == "reward" else scores[key][metric]) for key in scores
    }
    prompts = sorted({key[0] for key in scores}, key=lambda one: min(value[one, k] for k in range(N)))
    wanted = [key for one in prompts for key in sorted([(one, k) for k in range(N)], key=value.get)]
    assert pages(server, sort=metric, lowest_first=int(lowest_first)) == wanted


def test_filters(scores, server):
    assert {key[0] for key in server.shown(text="TONE <SCRIPT>alert(7)")} == {"song/7 <b>"}
    assert {key[0] for key in server.shown(text="la\nla")} == {"song/1 <b>"}
    assert server.shown(text="nothing like it") == []
    wanted = {key for key in scores if 0.5 <= scores[key]["musicality"] <= 1.5}
    assert set(pages(server, metric="musicality", low=0.5, high=1.5)) == wanted
    wanted = {key for key in scores if scores[key]["musicality"] >= 0.5}
    assert set(pages(server, metric="musicality", low=0.5)) == wanted


def test_a_prompt_with_many_candidates_is_cut_and_says_so(server, made):
    assert len(server.shown(each=2)) == 20
    assert "and 1 more" in server.client.get("/", params={"each": 2}).text


@pytest.mark.parametrize(
    ("query", "told"),
    [({"sort": "beauty"}, "metric 'beauty'"), ({"page": "0"}, "page"), ({"low": "x"}, "'x'"), ({"low": "nan"}, "low")],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told(server, query, told):
    reply = server.client.get("/", params=query)
    assert reply.status_code == 400
    assert told in reply.text
    assert reply.headers["content-type"].startswith("text/plain")


def test_audio_is_that_of_the_candidate_and_comes_in_ranges(made, server):
    for row, candidate in list(zip(server.rows(), made, strict=False))[:4]:
        reply = server.client.get(row["data-audio"])
        assert reply.headers["content-type"] == "audio/flac"
        assert hashlib.sha256(reply.content).hexdigest() == candidate.sha256
        whole = reply.content
    for asked, part in (
        ("bytes=100-199", whole[100:200]),
        ("bytes=50-", whole[50:]),
        ("bytes=-30", whole[-30:]),
    ):
        reply = server.client.get(row["data-audio"], headers={"Range": asked})
        assert (reply.status_code, reply.content) == (206, part)
        assert reply.headers["content-range"].endswith(f"/{len(whole)}")
    assert server.client.get(row["data-audio"], headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_reference_is_played(made, server):
    (reference,) = {candidate.reference for candidate in made} - {""}
    address = re.search(r'data-audio="(/references/[^"]+)"', server.client.get("/").text)[1]
    reply = server.client.get(address)
    assert reply.headers["content-type"] == "audio/flac"
    assert reply.content == (made.folder / reference).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/audio/0/../../metadata.jsonl",
        "/audio/0/..%2f..%2fmetadata.jsonl",
        "/audio/0/%2e%2e/%2e%2e/metadata.jsonl",
        "/audio/0/metadata.jsonl",
        "/audio/0//etc/passwd",
        "/audio/1/{sha256}",
        "/audio/-1/{sha256}",
        "/references/0/../metadata.jsonl",
        "/references/0/..%2fmetadata.jsonl",
        "/references/0/..%5cmetadata.jsonl",
        "/../pyproject.toml",
        "/browse.html.j2",
        "/favourites.jsonl",
    ],
)
def test_no_other_file_can_be_read(made, server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)  # which sends paths as they are
    connection.request("GET", path.format(sha256=made.candidates[0].sha256))
    reply = connection.getresponse()
    assert reply.status == 404
    assert len(reply.read()) < 100
    connection.close()


def test_only_local_names_are_answered(server):
    for host, status in (("evil.example", 400), (f"evil.example:{server.port}", 400), ("localhost:1", 200)):
        assert server.client.get("/", headers={"Host": host}).status_code == status
    assert "evil" not in server.client.get("/", headers={"Host": "evil.example"}).text


def test_pages_of_other_sites_may_neither_read_nor_mark(made, server):
    origin = {"Origin": "https://evil.example"}
    asked = {**origin, "Access-Control-Request-Method": "PUT"}
    for reply in (
        server.client.options("/favourites", headers=asked),
        server.client.get("/favourites", headers=origin),
    ):
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert server.client.options("/favourites", headers=asked).status_code == 405
    assert server.client.post("/favourites", content=b"{}").status_code == 405
    assert not (made.folder / "favourites.jsonl").exists()


def test_a_changed_clip_is_not_played_as_what_was_scored(tmp_path):
    pool = make_noise_pool(tmp_path, 1, 2).pool
    with BrowseServer(pool.folder, "--port", 0) as server:
        victim = pool.candidates[0]
        write_clip(pool.path(victim), clip(77, 8000, 1))
        reply = server.client.get(f"/audio/0/{victim.sha256}")
        assert reply.status_code == 400
        assert "was changed" in reply.text
        assert "was changed" in server.mark(victim).text
        assert server.client.get("/favourites").json() == [{}]


def test_rows_are_read_once(tmp_path):
    pool = make_noise_pool(tmp_path, 2, 2).pool
    with BrowseServer(pool.folder, "--port", 0) as server:
        (pool.folder / "metadata.jsonl").unlink()
        assert len(server.shown()) == 4
    assert "reward’s choice" not in server.line  # without scores there is a page all the same


def test_two_pools_side_by_side(tmp_path):
    for name, prompts, generator in (("one", 3, "first"), ("two", 2, "second")):
        pool = make_noise_pool(tmp_path / name, prompts, 2, generator=generator).pool
        add_scores(pool, metrics=(*METRICS, "extra") if name == "two" else METRICS)
    with BrowseServer(f"{tmp_path / 'one'},{tmp_path / 'two'}", "--port", 0) as server:
        page = server.client.get("/").text
        assert "<h1>first against second</h1>" in page
        assert_balanced(page)
        sections = page.split('<section class="card prompt">')[1:]
        assert [len(re.findall('class="row"', section)) for section in sections] == [4, 4, 2]
        for section in sections:
            assert len(set(re.findall('data-prompt="([^"]*)"', section))) == 1
        assert "no candidate here" in sections[2]
        rows = server.rows(sort="extra")
        assert [row["data-pool"] for row in rows[:4]] == ["0", "0", "1", "1"]
        second = Pool(tmp_path / "two" / "pool")
        reply = server.client.get(rows[2]["data-audio"])
        assert hashlib.sha256(reply.content).hexdigest() in {candidate.sha256 for candidate in second}
        server.mark(second.candidates[0], pool=1)
        assert server.client.get("/favourites").json() == [{}, {second.candidates[0].prompt_id: 0}]
        assert server.shown(favourites=1) == [second.candidates[0].key]


def test_metrics_that_two_scorers_share(tmp_path):
    pool = make_noise_pool(tmp_path, 1, 2).pool
    for scorer, version in (("b", "1"), ("a", "1"), ("b", "2")):
        add_scores(pool, scorer, version, (*METRICS, "reward"), seed=int(version))
    shared = (*METRICS, "reward")
    wanted = [f"{label}.{metric}" for label in ("a", "b@1", "b@2") for metric in shared]
    assert (
        list(read_listing(pool.folder).columns) == wanted
    )  # nobody said whose is the reward, and nothing guesses
    (tmp_path / "run.json").write_text(
        json.dumps({"scorers": {"b": "2", "a": "1"}, "config": {"weights": "alignment=2"}})
    )
    listing = read_listing(tmp_path)
    others = [f"{label}.{metric}" for label in ("b@1", "a") for metric in shared]
    assert sorted(listing.columns) == sorted(["reward", "musicality", "alignment", "b.reward", *others])
    assert next(iter(listing.columns)) == "reward"
    assert listing.columns["reward"].tolist() == (2 * listing.columns["alignment"]).tolist()
    own = read_listing(tmp_path, "a.musicality=1,b@1.alignment=-1")
    wanted = own.columns["a.musicality"] - own.columns["b@1.alignment"]
    assert own.columns["reward"].tolist() == wanted.tolist()


def test_scores_of_other_audio_do_not_count(tmp_path):
    pool = make_noise_pool(tmp_path, 1, 2).pool
    add_scores(pool)
    path = pool.folder / "scores" / "judge.jsonl"
    path.write_text(path.read_text().replace(pool.candidates[0].sha256, "0" * 64))
    listing = read_listing(pool.folder)
    assert [value == value for value in listing.columns["reward"]] == [False, True]
    assert listing.choices == {1}


@pytest.mark.parametrize("pools", ["", " , ", "a,b,c", "a,a", "a,./a"])
def test_one_pool_or_two(pools):
    with pytest.raises(InputError, match="one pool or two"):
        Browse(pools)


def test_what_cannot_be_met_is_one_line(tmp_path, server, made, capsys):
    for arguments, told in (
        ([tmp_path], "is not a pool"),
        ([made.folder, "--weights", "beauty=1"], "there are musicality, alignment"),
        ([made.folder, "--port", server.port], "choose another --port"),
    ):
        with pytest.raises(SystemExit) as stop:
            run(main, Browse, list(map(str, arguments)))
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert told in error
        assert (error[:7], error.count("\n")) == ("error: ", 1)


def test_ports_that_are_taken_are_passed_over_and_ctrl_c_is_quiet(made, scores):
    first = BrowseServer(made.folder)
    second = BrowseServer(made.folder)
    assert 8000 <= first.port < second.port < 8100
    with second.client.stream(
        "GET", f"/audio/0/{made.candidates[0].sha256}"
    ):  # a listener in the middle of a clip
        assert second.stop() == (130, "interrupted\n")
    assert first.stop() == (130, "interrupted\n")
