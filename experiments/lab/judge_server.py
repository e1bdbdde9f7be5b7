"""A judge that knows the truth and errs like one that does not: an OpenAI-style server for pairs of the lab.

    python -m experiments.lab.judge_server runs/lab/pairs/test.jsonl --port 8123
    python -m reward.judge runs/lab/pairs/test.jsonl --model lab --endpoint http://127.0.0.1:8123/v1 --output runs/judge

It recognises the two candidates of a request by the bytes of their audio, so it must hear as the judge's command sends
(``--audio_format``, ``--sample_rate``, ``--max_seconds``; ``--style input_audio``). What it says of them is told by
`experiments.lab.hearing`; the same question has the same answer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from experiments.lab.hearing import Hearing
from experiments.lab.pairs import pair_called
from music.command import run
from music.hashing import sha256_text
from reward.judge.sound import Sound
from reward.judgements import HEADS, Preference, load_pairs


@dataclass(frozen=True)
class ServeJudge:
    """Serve a judge of the lab's pairs on this machine.

    Parameters
    ----------
    pairs
        Of the lab, under their own ids; those across prompts are left out.
    port
        Of 127.0.0.1; any free one if 0.
    lean, mishearing, noise, taste, halo
        See `Hearing`.
    audio_format
        As in `reward.judge`.
    sample_rate
        Hz.
    max_seconds
        In s.
    """

    POSITIONALS: ClassVar = ("pairs",)

    pairs: Path
    port: int = 8123
    lean: float = Hearing.lean
    mishearing: float = Hearing.mishearing
    noise: float = Hearing.noise
    taste: float = Hearing.taste
    halo: float = Hearing.halo
    audio_format: str = "mp3"
    sample_rate: int = 24_000
    max_seconds: float = 30.0


class TrueJudge:
    """Answers questions about pairs.

    Parameters
    ----------
    pairs
        Under their own ids.
    sound
        How audio comes.
    hearing
        How it hears them.
    """

    def __init__(self, pairs: Sequence[Preference], sound: Sound, hearing: Hearing) -> None:
        self._hearing = hearing
        pairs = [pair for pair in pairs if pair.prompt.facts.get("kind") != "across"]
        self._perceived = {pair.id: hearing.perceived(*pair_called(pair.id)) for pair in pairs}
        self._known: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pair in tqdm(pairs, "hear", disable=None):
            for side, path in (("a", pair.audio_a), ("b", pair.audio_b)):
                self._known[sha256_text(sound.encoded(path))].append((pair.id, side))

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the verdicts on the last two pieces of audio of a request; `KeyError` for audio it does not know."""
        content = body["messages"][1]["content"]
        audio = [part["input_audio"]["data"] for part in content if part["type"] == "input_audio"][-2:]
        first, second = (dict(self._known.get(sha256_text(data), ())) for data in audio)
        shared = [name for name in first if name in second and first[name] != second[name]]
        if not shared:
            raise KeyError("these two are no pair")
        name = shared[0]
        turned = first[name] == "b"
        found: dict[str, Any] = {}
        for head in HEADS:
            verdict = self._hearing.verdict(self._perceived[name][head], head, turned, name)
            preference = {"a": "model_a", "b": "model_b"}.get(verdict.preference, verdict.preference)
            found[head] = {**asdict(verdict), "preference": preference}
        return found | {"reason": "it sounds so"}


def make_server(judge: TrueJudge, port: int) -> ThreadingHTTPServer:
    """Return a server on 127.0.0.1 that is not running yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                text, status = json.dumps(judge.answer(body)), 200
            except KeyError:
                text, status = "I do not know this audio: does the judge's command send as I hear?", 422
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

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main(options: ServeJudge) -> None:
    """Hear the pairs, then answer until somebody stops it."""
    sound = Sound(options.audio_format, options.sample_rate, options.max_seconds, max_bytes=1 << 30)
    hearing = Hearing(options.lean, options.mishearing, options.noise, options.taste, options.halo)
    judge = TrueJudge(load_pairs(options.pairs), sound, hearing)
    server = make_server(judge, options.port)
    print(f"http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    run(main, ServeJudge)
