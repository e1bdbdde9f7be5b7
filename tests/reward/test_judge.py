"""The judge: against a real server that misbehaves, both orders, nothing asked twice, batch files."""

import base64
import email.utils
import io
import json
import re
import time
from dataclasses import replace

import httpx
import pytest
import soundfile
import torch

from music.clips import Clip, write_clip
from music.errors import InputError, ServiceError
from reward.baselines.llm_judge import LLMJudge
from reward.judge import command
from reward.judge.answers import AnswerError, Verdict, parse_answer
from reward.judge.batch_files import read_results
from reward.judge.client import JudgeClient, Patience, seconds_told
from reward.judge.command import LabelPairs, main
from reward.judge.consistency import bias_table, label_of_pair
from reward.judge.questions import load_instruction
from reward.judge.replies import read_completion
from reward.judge.sound import Sound
from reward.judgements import load_pairs, load_preferences
from tests.reward.judge_server import answer_text


@pytest.fixture
def pairs(tmp_path, noise):
    """Write pairs of which b is the louder, and return the file."""
    rows = []
    for index in range(4):
        for side, level in (("a", 0.2), ("b", 0.9)):
            clip = noise(12_000, seed=10 * index + ord(side))
            wave = level * clip.waveform / clip.waveform.abs().max()
            write_clip(tmp_path / f"{index}{side}.flac", Clip(wave, clip.sample_rate))
        row = {"id": f"p{index}", "text": "rock", "audio_a": f"{index}a.flac", "audio_b": f"{index}b.flac"}
        rows.append(row | {"preference_musicality": "b", "preference_alignment": "", "facts": {"kind": "x"}})
    rows[1]["reference"], rows[1]["lyrics"] = "0a.flac", "la la"
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def options(pairs, server, tmp_path):
    prices = {"price_in": 2.0, "price_out": 10.0}
    return LabelPairs(
        pairs, tmp_path / "out", "tiny", endpoint=server.url, concurrency=2, timeout=1.0, **prices
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Wait a hundredth of what is waited in earnest."""
    monkeypatch.setattr(command, "Patience", lambda attempts, timeout: Patience(attempts, 0.01, timeout))


def test_labels_on_which_both_orders_agree_are_kept(options, server, capsys):
    assert main(options) == 0
    rows = load_preferences(options.output / "rows.jsonl")
    assert [row.musicality for row in rows] == ["b"] * 4  # heard in both orders
    assert [row.alignment for row in rows] == [""] * 4  # always the first: contradicts itself
    assert rows[1].prompt.reference is not None
    told = rows[0].prompt.facts["judge"]
    assert told["hash"] == load_instruction("pairwise_1").hash
    assert told["reversed"]["musicality"] == {"preference": "b", "score_a": 4.0, "score_b": 7.0}
    assert rows[0].prompt.facts["kind"] == "x"
    found = json.loads(capsys.readouterr().out)
    assert (found["questions"], found["answered"], found["labelled"]) == (8, 8, 4)
    assert found["cost"] == pytest.approx(8 * (1000 * 2 + 50 * 10) / 1e6)
    bias = {
        (row["head"], row["answers"]): row for row in json.loads((options.output / "bias.json").read_text())
    }
    assert bias["alignment", "original"]["a_share"] == 1.0
    assert bias["alignment", "reversed"]["a_share"] == 0.0
    assert bias["alignment", "agreed"]["decided"] == 0
    assert bias["musicality", "agreed"]["right"] == 1.0
    assert "| alignment | original | 4 | 4 | 100.0%" in (options.output / "bias.md").read_text()


def test_the_first_order_alone_can_be_kept(options):
    main(replace(options, keep="original"))
    assert [row.alignment for row in load_preferences(options.output / "rows.jsonl")] == ["a"] * 4


def test_a_message_holds_the_prompt_in_order(options, server):
    main(replace(options, limit=2))
    (body, headers) = next(one for one in server.requests if len(one[0]["messages"][1]["content"]) > 7)
    kinds = [part.get("text", part["type"]) for part in body["messages"][1]["content"]]
    assert kinds[:4] == ["Description: rock", "Lyrics:\nla la", "Reference recording:", "input_audio"]
    assert kinds[4:8] == ["Candidate A:", "input_audio", "Candidate B:", "input_audio"]
    assert kinds[8] == load_instruction("pairwise_1").form
    assert "Authorization" not in headers


def test_the_key_is_sent_and_nowhere_written(options, server, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "secret-key")
    main(options)
    assert all(headers["Authorization"] == "Bearer secret-key" for _, headers in server.requests)
    assert all("secret-key" not in path.read_text() for path in options.output.iterdir())


@pytest.mark.parametrize(
    "fault",
    [
        "hang",
        "drop",
        b"<html>proxy</html>",
        "truncated",
        429,
        500,
        503,
        "no JSON at all",
        '{"musicality": {"preference": "model_a"',
        '{"musicality": {"preference": "left", "score_a": 1, "score_b": 2}}',
        '{"musicality": {"preference": "both", "score_a": 11, "score_b": 2}}',
        answer_text("tie", "model_a"),
        "",
    ],
)
def test_what_goes_wrong_is_asked_again(options, server, fault):
    server.faults = [fault] * 2
    assert main(replace(options, limit=1, max_tokens=50)) == 0
    assert load_preferences(options.output / "rows.jsonl")[0].musicality == "b"
    assert len(server.requests) == 4  # two questions, two faults
    room = {body["max_tokens"] for body, _ in server.requests}
    assert (max(room) > 50) == (fault == "truncated")  # more room only for an answer cut short


@pytest.mark.parametrize("text", ["```json\n{}\n```", "I heard this: {} That is all.", '{"thoughts": 1} {}'])
def test_words_and_fences_around_an_answer_are_passed_over(text):
    found = parse_answer(text.replace("{}", answer_text("both", "model_b")))
    assert found["musicality"] == Verdict("both", 7, 4)


def test_an_objection_tells_the_judge_what_was_wrong(options, server):
    server.faults = ["nonsense"]
    main(replace(options, limit=1, concurrency=1))
    again = server.requests[1][0]["messages"]
    assert again[-1]["role"] == "user"
    assert "no whole JSON object" in again[-1]["content"]


def test_a_question_is_given_up_after_so_many_attempts_and_asked_again_on_request(options, server):
    server.faults = [500] * 3
    assert main(replace(options, limit=1, concurrency=1, attempts=3)) == 1
    answers = [json.loads(line) for line in (options.output / "answers.jsonl").read_text().splitlines()]
    assert [answer["error"] for answer in answers] == ["status 500", ""]
    asked = len(server.requests)
    assert main(replace(options, limit=1)) == 1  # given up: not asked again by itself
    assert len(server.requests) == asked
    assert main(replace(options, limit=1, retry_failed=True)) == 0
    assert len(server.requests) == asked + 1


def test_nothing_is_asked_twice_whatever_files_are_called(options, server, pairs, tmp_path):
    main(options)
    asked = len(server.requests)
    assert asked == 8
    assert main(options) == 0
    assert len(server.requests) == asked
    (tmp_path / "moved").mkdir()
    for path in tmp_path.glob("*.flac"):
        path.rename(tmp_path / "moved" / f"x{path.name}")
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    for row in rows:
        for name in ("audio_a", "audio_b", "reference"):
            if row.get(name):
                row[name] = f"moved/x{row[name]}"
        row["id"] += "-moved"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(options) == 0
    assert len(server.requests) == asked
    assert main(replace(options, temperature=0.5, limit=1)) == 0  # another question
    assert len(server.requests) == asked + 2


def test_a_killed_run_goes_on(options, server, monkeypatch):
    from reward.judge.answers import AnswerStore

    add, kept = AnswerStore.add, []

    def die(self, answer):
        add(self, answer)
        kept.append(answer.key)
        if len(kept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(AnswerStore, "add", die)
    with pytest.raises(KeyboardInterrupt):
        main(options)
    with (options.output / "answers.jsonl").open("a") as file:
        file.write('{"key": "torn')
    monkeypatch.setattr(AnswerStore, "add", add)
    before = len(server.requests)
    assert main(options) == 0
    assert len(server.requests) - before == 8 - 3
    assert len(load_preferences(options.output / "rows.jsonl")) == 4


def test_a_server_that_refuses_ends_the_run_and_keeps_what_was_answered(options, server):
    server.faults = [None, None, 401]
    with pytest.raises(ServiceError, match="refuses with 401"):
        main(replace(options, concurrency=1))
    assert len((options.output / "answers.jsonl").read_text().splitlines()) == 2


def test_a_question_is_another_one_where_anything_that_is_sent_differs(options, pairs):
    judge, (pair, *_) = options.judge(), load_pairs(pairs)
    others = {"model": "x", "sound": Sound("wav"), "style": "audio_url", "temperature": 0.5, "max_tokens": 20}
    judges = [judge, *(replace(judge, **{name: value}) for name, value in others.items())]
    assert len({one.key(pair, "original") for one in judges}) == len(judges)
    assert len({LLMJudge("http://localhost:1/v1", one).hash for one in judges}) == len(judges)


def test_audio_that_cannot_be_sent_is_told_and_the_others_are_judged(options, server, tmp_path, capsys):
    (tmp_path / "0b.flac").write_bytes(b"no audio")
    assert main(options) == 1
    assert "p0: " in capsys.readouterr().err
    assert len(load_preferences(options.output / "rows.jsonl")) == 3
    assert main(replace(options, endpoint="", export=True, temperature=0.1)) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["requests"] == 6
    assert "p0: " in told.err
    with pytest.raises(InputError, match=r"above 1000 .*: send less .* reward\.judge takes --max_seconds"):
        Sound("wav", max_bytes=1000).encoded(tmp_path / "1a.flac")


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_audio_is_sent_mono_and_short_in_every_format(tmp_path, kind):
    loud = torch.rand(2, 160_000, generator=torch.Generator().manual_seed(0)) * 2.5 - 1.25
    write_clip(tmp_path / "long.flac", Clip(loud, 32_000))
    data = base64.b64decode(Sound(kind, max_seconds=2.0).encoded(tmp_path / "long.flac"))
    wave, rate = soundfile.read(io.BytesIO(data))
    assert rate == 24_000
    assert wave.ndim == 1
    assert abs(len(wave) / rate - 2.0) < 0.1
    if kind != "mp3":  # which is lossy and overshoots
        assert 0.9 < abs(wave).max() <= 1.0


def test_batch_files_are_written_and_what_comes_back_is_read(options, server, tmp_path, monkeypatch):
    monkeypatch.setattr("reward.judge.batch_files.MOST_REQUESTS", 3)
    assert main(replace(options, endpoint="", export=True)) == 0
    files = sorted(options.output.glob("batch-*.jsonl"))
    assert [len(path.read_text().splitlines()) for path in files] == [3, 3, 2]
    requests = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    replies = []
    for request in requests:
        text = answer_text(*server.heard(request["body"]))
        body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
        replies.append({"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}})
    replies[0] = {"custom_id": requests[0]["custom_id"], "response": None, "error": {"code": "expired"}}
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    assert main(replace(options, endpoint="", results=results)) == 1
    assert len(load_preferences(options.output / "rows.jsonl")) == 3
    assert server.requests == []
    assert main(replace(options, retry_failed=True)) == 0  # the one that failed, over the wire
    assert len(server.requests) == 1
    results.write_text('{"id": 1}\n')
    with pytest.raises(InputError, match="not a reply"):
        main(replace(options, endpoint="", results=results))


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (
            {"status_code": 200, "body": {"choices": [{"message": {"content": [{"text": "{}"}]}}]}},
            "no whole JSON",
        ),
        ({"status_code": 200, "body": {"choices": [{"message": {"content": 7}}]}}, "not a text"),
        ({"status_code": 200, "body": [1]}, "not a chat completion"),
        ({"status_code": 200, "body": {"error": {"message": "quota"}}}, "an error in place of .*: quota"),
        ({"status_code": 500, "body": None}, "500"),
        ([1], r"\[1\]"),
        (None, "null"),
    ],
)
def test_odd_results_of_a_batch_service_are_a_reason_each(tmp_path, response, error):
    (tmp_path / "results.jsonl").write_text(json.dumps({"custom_id": "k", "response": response}) + "\n")
    (answer,) = read_results(tmp_path / "results.jsonl")
    assert (answer.key, answer.verdicts) == ("k", {})
    assert re.search(error, answer.error)


def test_only_the_same_answer_in_both_orders_is_consistent():
    def both(first, second):
        return {
            "original": {"musicality": Verdict(first, 1, 1)},
            "reversed": {"musicality": Verdict(second, 1, 1)},
        }

    assert label_of_pair(both("a", "a"), "musicality", "consistent") == "a"
    assert label_of_pair(both("both", "both"), "musicality", "consistent") == "both"
    assert label_of_pair(both("a", "b"), "musicality", "consistent") == ""
    assert label_of_pair({"original": both("a", "a")["original"]}, "musicality", "consistent") == ""
    assert Verdict("a", 3, 2).reversed() == Verdict("b", 2, 3)
    heads = ("musicality", "alignment")
    asked = [
        (
            {
                order: dict.fromkeys(heads, Verdict(label, 1, 1))
                for order, label in zip(("original", "reversed"), labels, strict=True)
            },
            {},
        )
        for labels in (("a", "a"), ("a", "b"), ("both", "a"))
    ]
    rows = {(row["head"], row["answers"]): row for row in bias_table(asked)}
    assert rows["musicality", "original"]["decided"] == 2
    assert rows["musicality", "agreed"]["pairs"] == 1
    assert rows["musicality", "agreed"]["right"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"endpoint": ""}, "expected one of --endpoint"),
        ({"export": True}, "expected one of --endpoint"),
        ({"keep": "most"}, "--keep must be one of"),
        ({"model": ""}, "--model"),
        ({"concurrency": 0}, "--concurrency"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, changes, message):
    with pytest.raises(InputError, match=message):
        replace(options, **changes)


def test_bad_input_is_refused_before_anything_is_asked(options, server, pairs, tmp_path):
    with pytest.raises(InputError, match="no instruction"):
        main(replace(options, instruction="none"))
    (tmp_path / "own.txt").write_text("one part")
    with pytest.raises(InputError, match="lacks a line ---"):
        main(replace(options, instruction=str(tmp_path / "own.txt")))
    rows = pairs.read_text()
    for text, message in (
        (rows.replace("2b.flac", "none.flac"), "does not exist"),
        (rows.replace('"p2"', '"p1"'), "comes twice"),
        ("", "holds no preferences"),
    ):
        pairs.write_text(text)
        with pytest.raises(InputError, match=message):
            load_pairs(pairs)
    assert server.requests == []
    with pytest.raises(AnswerError, match="no whole JSON"):
        parse_answer("")


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost",
        "http://localhost:80a/v1",
        "http://localhost:99999/v1",
        "http://",
        "ftp://a/v1",
        "http://a..b/v1",
        "",
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(InputError, match=f"must be a URL such as .*, got '{re.escape(endpoint)}'"):
        JudgeClient(endpoint)


def test_the_line_end_of_a_key_is_no_part_of_it(options, server, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "secret\n")
    assert main(options) == 0
    assert {headers["Authorization"] for _, headers in server.requests} == {"Bearer secret"}


@pytest.mark.parametrize("key", ["schlüssel", "two\nlines", "tab\tbed"])
def test_a_key_that_no_header_can_hold_is_refused_before_anything_is_asked(options, server, monkeypatch, key):
    monkeypatch.setenv("JUDGE_API_KEY", key)
    with pytest.raises(InputError, match=r"the key of the endpoint holds .*, which no header can") as refused:
        main(options)
    assert key not in str(refused.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("no_proxy", "localhost,fe11::/16"),
        ("http_proxy", "nonsense://127.0.0.1"),
        ("http_proxy", "http://127.0.0.1:80a"),
        ("SSL_CERT_FILE", "/nowhere.pem"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_at_once(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=r"no connection can be made \(.*\): see .*no_proxy"):
        JudgeClient("http://127.0.0.1:9/v1")


def test_a_proxy_is_named_where_a_server_cannot_be_reached(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    client = JudgeClient("http://127.0.0.1:10/v1", patience=Patience(attempts=1))
    with pytest.raises(ServiceError, match="start it and run again, or see the proxy that http_proxy names"):
        client.ask({"messages": []}, parse_answer)


def test_a_wait_that_no_clock_can_time_is_refused(pairs, tmp_path):
    with pytest.raises(InputError, match=r"--timeout must be above 0 and at most 86400 s, got 1e\+300"):
        LabelPairs(pairs, tmp_path, "tiny", endpoint="http://127.0.0.1:9/v1", timeout=1e300)


def test_an_endpoint_that_leads_elsewhere_is_told_where(options, server):
    server.faults = [307] * 4
    with pytest.raises(ServiceError, match="leads to https://elsewhere/v1: give --endpoint"):
        main(options)


def completion(content=None, **fields):
    message = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]} | fields
    return httpx.Response(200, json=message)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (completion("yes"), "yes"),
        (completion(None), ""),
        (completion([{"type": "text", "text": "y"}, {"text": "es"}]), "yes"),
        (completion([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]), "yes"),
        (completion("yes", usage=[1]), "yes"),
        (completion("yes", usage={"prompt_tokens": "many", "completion_tokens": None}), "yes"),
        (completion("yes", usage={"prompt_tokens": 10**300, "completion_tokens": -5}), "yes"),
        (completion("yes", error=None), "yes"),
    ],
)
def test_the_text_of_a_reply_is_found_in_every_form_that_servers_use(reply, text):
    found = read_completion(reply)
    assert (found.text, found.tokens_in, found.tokens_out) == (text, 0, 0)


def test_tokens_are_counted_where_they_are_numbers():
    found = read_completion(completion("yes", usage={"prompt_tokens": "12.5", "completion_tokens": 3}))
    assert (found.tokens_in, found.tokens_out) == (12, 3)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"<html>login</html>", r"not a chat completion: '<html>login</html>'"),
        (b"", "not a chat completion: ''"),
        (b"\xff\xfe{}", "not a chat completion"),
        (b"[1]", r"not a chat completion: '\[1\]'"),
        (b"3", "not a chat completion: '3'"),
        (b"[" * 9_000, "not a chat completion"),
        (b'{"choices": []}', "not a chat completion"),
        (b'{"choices": {"0": 1}}', "not a chat completion"),
        (b'{"error": {"message": "your\\nquota"}}', "an error in place of a chat completion: your quota"),
        (b'{"error": "quota", "choices": null}', "an error in place of a chat completion: quota"),
        (completion(7).content, "its content is '7', not a text"),
        (completion({"text": "yes"}).content, r"its content is .*, not a text"),
        (completion([{"type": "text", "text": 3}]).content, r"its content is .*, not a text"),
        (completion(["yes"]).content, r"its content is .*, not a text"),
    ],
)
def test_what_is_no_chat_completion_is_one_reason_in_its_row(server, reply, reason):
    server.faults = [reply] * 2
    client = JudgeClient(server.url, patience=Patience(2, 0.01))
    found = client.ask({"model": "m", "messages": [], "max_tokens": 1}, parse_answer)
    assert (found.found, found.attempts) == (None, 2)
    assert re.search(reason, found.error)
    assert "\n" not in found.error


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        ("3", 3.0),
        ("1.5", 1.5),
        ("1e9", 1e9),
        ("-5", None),
        ("1.5.5", None),
        ("²", None),
        ("nan", None),
        ("", None),
    ],
)
def test_the_pause_that_a_server_asks_for(told, pause):
    assert seconds_told(told) == pause


def test_the_pause_may_be_a_date():
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 25 < seconds_told(soon) <= 30
    assert seconds_told("Wed, 21 Oct 2015 07:28:00 GMT") is None


def test_nested_text_without_end_is_no_answer():
    with pytest.raises(AnswerError, match="no whole JSON"):
        parse_answer('{"musicality":' * 3_000)
    with pytest.raises(AnswerError, match="no whole JSON object"):
        parse_answer('{"musicality": ' + "1" * 5_000 + "}")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sample_rate": 22_000}, "sample_rate cannot be 22000 Hz, which MP3 does not hold"),
        ({"sample_rate": 0}, "sample_rate must be above 0"),
        ({"format": "flac", "sample_rate": 96_001}, "which FLAC does not hold"),
        ({"max_seconds": -3.0}, "max_seconds must be above 0 and finite, got -3"),
        ({"max_seconds": float("nan")}, "max_seconds must be above 0 and finite, got nan"),
        ({"max_seconds": "short"}, "max_seconds must be above 0 and finite, got 'short'"),
        ({"format": "aac"}, "must be one of wav, mp3, flac, got 'aac'"),
    ],
)
def test_sound_that_cannot_be_sent_is_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        Sound(**options)
