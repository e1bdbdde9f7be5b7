"""Serves a judge that knows the truth and errs like one that does not: OpenAI's protocol, for pairs of the lab.

    python -m experiments.lab.judge_server runs/lab/pairs/test.jsonl --port 8123
    python -m reward.judge runs/lab/pairs/test.jsonl --model lab --endpoint http://127.0.0.1:8123/v1 --output runs/judge

It recognises candidates by the bytes of their audio, so it must encode audio as who asks does (``--audio_format``,
``--sample_rate``, ``--max_seconds``; ``--style input_audio``). `experiments.lab.judgements.hearing` tells what it says
of the two of a pair; one alone, as ``--reward llm-judge:lab@http://127.0.0.1:8123/v1`` sends it, gets the mark that it
has as the first of its pair. The same question always has the same answer.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from experiments.lab.judgements.hearing import Hearing
from experiments.lab.judgements.pairs import pair_called
from experiments.lab.judgements.published_rows import published_label
from music.command import run
from music.errors import InputError
from music.hashing import sha256_text
from music.progress import progress
from reward.judge.sound import Sound
from reward.judgements import HEADS, Preference, load_pairs


@dataclass(frozen=True, kw_only=True)
class ServeJudge(Hearing):
    """Serve a judge of the lab's pairs on this machine.

    Parameters
    ----------
    pairs
        File of the lab's pairs, under their own ids; those across prompts are left out.
    port
        Port of 127.0.0.1; any free one if 0.
    audio_format
        Format of the audio in requests, as in reward.judge: mp3 or wav.
    sample_rate
        Sample rate of the audio in requests, as in reward.judge, Hz.
    max_seconds
        Longest audio in requests, as in reward.judge, s.
    """

    POSITIONALS: ClassVar = ("pairs",)

    pairs: Path
    port: int = 8123
    audio_format: str = "mp3"
    sample_rate: int = 24_000
    max_seconds: float = 30.0


class TrueJudge:
    """Answers questions about pairs of the lab, which it recognises by the bytes of their encoded audio."""

    def __init__(self, pairs: Sequence[Preference], sound: Sound, hearing: Hearing) -> None:
        self._hearing = hearing
        pairs = [pair for pair in pairs if pair.prompt.facts.get("kind") != "across"]
        self._perceived = {pair.id: hearing.perceived(*pair_called(pair.id)) for pair in pairs}
        self._known: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in progress(pairs, "hear"):
            for side, path in (("a", pair.audio_a), ("b", pair.audio_b)):
                self._known[sha256_text(sound.encoded(path))].append((pair.id, side))

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the verdicts on a pair, or the marks of one candidate; `KeyError` if the lab does not know them."""
        content = body["messages"][1]["content"]
        titles = [str(part.get("text", "")) for part in content]
        first = next(place for place, title in enumerate(titles) if title.startswith("Candidate"))
        sounds = [part["input_audio"]["data"] for part in content[first:] if part["type"] == "input_audio"]
        known = [dict(self._known.get(sha256_text(data), ())) for data in sounds]
        others = known[1:]
        name = next(
            (name for name, side in known[0].items() if all(one.get(name, side) != side for one in others)),
            "",
        )
        if not name:
            raise KeyError("these are no candidates of a pair")
        found: dict[str, Any] = {}
        for head in HEADS:
            verdict = self._hearing.verdict(self._perceived[name][head], head, known[0][name] == "b", name)
            if len(known) == 1:
                found[head] = verdict.score_a  # the candidate is heard first
            else:
                found[head] = {**asdict(verdict), "preference": published_label(verdict.preference)}
        return found | {"reason": "it sounds so"}


def make_server(judge: TrueJudge, port: int) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1 that is not running yet; `InputError` if the port cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                text, status = json.dumps(judge.answer(body)), 200
            except (KeyError, StopIteration, IndexError):
                text, status = (
                    "I do not know this audio: does the judge's command encode it as I do?",
                    422,
                )
            usage = {
                "prompt_tokens": len(body["messages"][1]["content"]) * 100,
                "completion_tokens": len(text) // 4,
            }
            reply = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
            data = json.dumps(reply if status == 200 else {"error": {"message": text}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on port {port}: {error}; choose another --port") from error


def main(options: ServeJudge) -> None:
    """Hear the pairs, then answer until it is stopped."""
    sound = Sound(options.audio_format, options.sample_rate, options.max_seconds, max_bytes=1 << 30)
    judge = TrueJudge(load_pairs(options.pairs), sound, options)
    server = make_server(judge, options.port)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    run(main, ServeJudge)
