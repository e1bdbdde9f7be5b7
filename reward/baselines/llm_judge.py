"""An audio language model behind an OpenAI-style endpoint, which marks each clip by itself.

    python -m reward.benchmark --reward llm-judge:Qwen/Qwen2-Audio-7B-Instruct@http://localhost:8000/v1 ...

It hears and is asked as in `reward.judge`, which compares pairs: the same instruction files, audio, repairs, patience.
Only the first 30 s of any audio are sent (`reward.judge.sound.Sound`), unless `load_scorer` is given `max_seconds`. The
key of the endpoint is read from the environment variable JUDGE_API_KEY. The temperature is 0; whether the same question
always has the same answer is up to the server.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields
from pathlib import Path

from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from reward.hearing import Hearing
from reward.judge.answers import parse_marks
from reward.judge.client import JudgeClient, Patience
from reward.judge.questions import Judge, load_instruction
from reward.judge.sound import Sound
from reward.judgements import HEADS
from reward.plug_ins import UnknownOptionError
from reward.protocol import Scorer, ScoreRequest

ARITHMETIC = 1  # part of the hash: raise it with any change of the code that moves marks
API_KEY = "JUDGE_API_KEY"


class LLMJudge(Scorer):
    """Marks from 1 to 10 for musicality and alignment.

    A question is asked once as long as the scorer lives, unless there was no answer.

    Parameters
    ----------
    endpoint
        URL of the server, such as ``http://localhost:8000/v1``.
    judge
        The model and how it is asked, with an instruction for single clips.
    api_key
        Bearer token, if the server wants one.
    batch_size
        Number of requests under way at a time.
    patience
        How long to bear with the server.
    """

    metrics = HEADS

    def __init__(
        self,
        endpoint: str,
        judge: Judge,
        api_key: str = "",
        batch_size: int = 8,
        patience: Patience | None = None,
    ) -> None:
        self._judge, self._client = judge, JudgeClient(endpoint, api_key, patience)
        self.name = f"llm-judge-{Path(judge.model).name}"
        self.batch_size = batch_size
        self.hears = (Hearing(True, judge.sound.sample_rate, judge.sound.max_seconds),)
        self._threads = ThreadPoolExecutor(batch_size)
        self._marks: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()
        facts = {"arithmetic": ARITHMETIC, "endpoint": endpoint, **judge.facts}
        self.hash = sha256_text(canonical_json(facts))

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the marks of each request; see `reward.protocol.Scorer`.

        Raises
        ------
        InputError
            If the judge gives no answer that can be used, or the server refuses a clip; the others are remembered.
        ServiceError
            If the server refuses whoever asks, or cannot be reached.
        """
        marks = [self._threads.submit(self._score, request) for request in requests]
        wait(marks)  # also after a failure: nothing that is under way is asked again
        return [mark.result() for mark in marks]

    def _score(self, request: ScoreRequest) -> dict[str, float]:
        if not isinstance(request.audio, Path):
            raise InputError(f"{self.name} sends files, and was handed a clip in memory")
        key = self._judge.key_of_clip(request.prompt, request.audio)
        with self._lock:
            marks = self._marks.get(key)
        if marks is not None:
            return marks
        reply = self._client.ask(self._judge.body_of_clip(request.prompt, request.audio), parse_marks)
        if reply.found is None:
            raise InputError(
                f"{self.name} gave no mark in {reply.attempts} attempts ({reply.error}): run again to ask again"
            )
        with self._lock:
            self._marks[key] = reply.found
        return reply.found


def llm_judge(
    place: str,
    device: str = "",
    dtype: str = "",
    instruction: str = "pointwise_1",
    **sound: int | float | str,
) -> LLMJudge:
    """Return the scorer of ``MODEL@URL``.

    Parameters
    ----------
    place
        The model, as the endpoint calls it, and the endpoint.
    device, dtype
        Not used: where and how a model runs is the server's choice.
    instruction
        Name of a shipped instruction, or a file; see `reward.judge.questions.load_instruction`.
    sound
        Fields of `reward.judge.sound.Sound`.

    Raises
    ------
    InputError
        If `place` is of another form.
    """
    model, found, url = place.rpartition("@http")
    if not found or not model:
        raise InputError(
            f"expected llm-judge:MODEL@URL, as in llm-judge:Qwen/Qwen2-Audio-7B-Instruct@http://localhost:8000/v1, "
            f"got {place!r}"
        )
    known = [field.name for field in fields(Sound)]
    if unknown := sorted({*sound} - {*known}):
        raise UnknownOptionError(
            unknown[0], f"llm-judge has no option {unknown[0]!r}: it takes instruction, {', '.join(known)}"
        )
    judge = Judge(model, load_instruction(instruction), Sound(**sound))  # type: ignore[arg-type]
    return LLMJudge(f"http{url}", judge, os.environ.get(API_KEY, ""))
