"""An OpenAI-style server that hears, and misbehaves as told."""

import base64
import contextlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import soundfile


def verdict(preference, marks=(7, 4)):
    return {"preference": preference, "score_a": marks[0], "score_b": marks[1]}


def answer_text(musicality, alignment):
    return json.dumps({"musicality": verdict(musicality), "alignment": verdict(alignment), "reason": "heard"})


class JudgeServer:
    """Hears how loud candidates are.

    Of two it prefers the louder in musicality, and always the first in alignment. One alone gets a mark that rises with
    its level in musicality, and 5.5 in alignment.

    `faults` are taken in turn, one a request, before it behaves.
    """

    def __init__(self):
        self.faults, self.requests = [], []
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.requests.append((body, dict(self.headers)))
                    fault = server.faults.pop(0) if server.faults else None
                with contextlib.suppress(BrokenPipeError):  # who asked is gone
                    server.reply(self, body, fault)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def reply(self, handler, body, fault):
        if isinstance(fault, bytes):
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(fault)
            return
        text, finish, status, headers = self.answer(body), "stop", 200, {}
        if fault == "hang":
            time.sleep(1.5)
        elif fault == "drop":
            handler.connection.close()
            return
        elif fault == "truncated":
            text, finish = text[:50], "length"
        elif isinstance(fault, int):
            status = fault
            headers = {429: {"Retry-After": "0.05"}, 307: {"Location": "https://elsewhere/v1"}}.get(fault, {})
        elif fault is not None:
            text = fault
        usage = {"prompt_tokens": 1000, "completion_tokens": 50}
        message = {"choices": [{"message": {"content": text}, "finish_reason": finish}], "usage": usage}
        data = json.dumps(message if status == 200 else {"error": {"message": "told"}}).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def answer(self, body):
        levels = self.levels(body)
        if len(levels) == 1:
            return json.dumps(
                {"musicality": round(1 + 9 * levels[0], 3), "alignment": 5.5, "reason": "heard"}
            )
        return answer_text(*self.heard(body))

    def heard(self, body):
        first, second = self.levels(body)
        return ("model_a" if first > second else "model_b"), "model_a"

    def levels(self, body):
        """Return the mean square of each candidate."""
        content = body["messages"][1]["content"]
        titles = [part.get("text", "") for part in content]
        at = next(place for place, title in enumerate(titles) if title.startswith("Candidate"))
        levels = []
        for part in content[at:]:
            if part["type"] == "input_audio":
                wave, rate = soundfile.read(io.BytesIO(base64.b64decode(part["input_audio"]["data"])))
                assert (rate, wave.ndim) == (24_000, 1)
                levels.append(float((wave**2).mean()))
        return levels
