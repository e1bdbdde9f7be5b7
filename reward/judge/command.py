"""Pseudo-labels: an audio language model behind an OpenAI-style endpoint judges pairs, each in both orders.

    python -m reward.judge pairs.jsonl --output runs/judge --model M --endpoint http://localhost:8000/v1
    python -m reward.judge pairs.jsonl --output runs/judge --model M --export true     # batch files, for a service
    python -m reward.judge pairs.jsonl --output runs/judge --model M --results out.jsonl     # and what came back

A judge may prefer what it hears first, or second. So every pair is asked about twice, with the clips in both orders,
and a label is kept where both answers mean the same clip (`reward.judge.consistency`). Every answer is kept by the
content of its question (`reward.judge.questions`): a run that was killed goes on, and nothing is asked, or paid for,
twice.

OUTPUT holds ``answers.jsonl``; ``rows.jsonl``, the labelled pairs, which `reward.train` reads; ``bias.md`` and
``bias.json``, how the order moves the answers, and where the pairs have true labels how often each is right; and
``run.json`` with the counts and the cost.
"""

import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from music.command import refuse_below_one
from music.durable import make_folder
from music.errors import InputError
from music.paths import check_apart
from music.progress import progress
from music.provenance import claim_folder, write_run_record
from reward.judge.answers import Answer, AnswerStore, parse_answer
from reward.judge.batch_files import read_results, write_batches
from reward.judge.client import JudgeClient, Patience
from reward.judge.consistency import FILTERS
from reward.judge.labels import write_labels
from reward.judge.questions import STYLES, Judge, load_instruction, questions_of
from reward.judge.sound import FORMATS, Sound
from reward.judgements import Preference, load_pairs

_LONGEST_TIMEOUT = 86_400  # s


@dataclass(frozen=True)
class LabelPairs:
    """Let an audio language model judge pairs, each in both orders, and keep the labels on which it agrees.

    Parameters
    ----------
    pairs
        Rows with id, audio_a, audio_b, and text, lyrics, reference of the prompt; labels that they have are the truth
        to compare with.
    output
        Folder for answers, labels and the bias table.
    model
        Name of the model at the endpoint.
    endpoint
        URL of an OpenAI-style server, such as http://localhost:8000/v1.
    export
        Write batch files of the questions without an answer, instead of asking.
    results
        File of a batch service to take answers from, instead of asking.
    api_key_variable
        Environment variable with the key of the endpoint.
    instruction
        What the judge is told: pairwise_1, or a file with the task, a line ---, and the form of the answer.
    audio_format
        Format in which audio is sent: wav, mp3 or flac.
    sample_rate
        Sample rate of the audio sent, Hz.
    max_seconds
        Length of the beginning of any audio that is sent, s.
    max_bytes
        Largest size of one piece of audio.
    style
        How audio stands in a message: input_audio or audio_url.
    temperature
        Temperature of the judge's sampling.
    max_tokens
        Most tokens of an answer.
    concurrency
        Number of requests under way at a time.
    attempts
        Number of times that a question is asked before it is given up.
    timeout
        Longest wait for a reply, s.
    retry_failed
        Ask the questions again that an earlier run gave up.
    keep
        Labels to keep: consistent ones, on which both orders agree, or original ones, those of the first order.
    price_in
        Price of a million tokens of questions, to report the cost.
    price_out
        Price of a million tokens of answers, to report the cost.
    limit
        Number of pairs to judge, the first ones.
    """

    POSITIONALS: ClassVar = ("pairs",)

    pairs: Path
    output: Path
    model: str
    endpoint: str = ""
    export: bool = False
    results: Path | None = None
    api_key_variable: str = "JUDGE_API_KEY"
    instruction: str = "pairwise_1"
    audio_format: str = "mp3"
    sample_rate: int = 24_000
    max_seconds: float = 30.0
    max_bytes: int = 1 << 20
    style: str = "input_audio"
    temperature: float = 0.0
    max_tokens: int = 400
    concurrency: int = 4
    attempts: int = 6
    timeout: float = 120.0
    retry_failed: bool = False
    keep: str = "consistent"
    price_in: float = 0.0
    price_out: float = 0.0
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown names, numbers out of range, and more or less than one way to get answers."""
        known = {"audio_format": tuple(FORMATS), "style": STYLES, "keep": FILTERS}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise InputError(f"--{name} must be one of {', '.join(values)}, got {getattr(self, name)!r}")
        refuse_below_one(self, "max_tokens", "concurrency", "attempts", "limit", "max_bytes")
        if [bool(self.endpoint), self.export, self.results is not None].count(True) != 1:
            raise InputError("expected one of --endpoint URL, --export and --results FILE")
        if not self.model:
            raise InputError("--model must be the name of a model at the endpoint")
        if not 0 < self.timeout <= _LONGEST_TIMEOUT:
            raise InputError(
                f"--timeout must be above 0 and at most {_LONGEST_TIMEOUT} s, got {self.timeout}"
            )
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"--temperature must be at least 0, got {self.temperature}")
        self._sound()

    def judge(self) -> Judge:
        """Return the model with all that decides its answers."""
        instruction = load_instruction(self.instruction)
        return Judge(self.model, instruction, self._sound(), self.style, self.temperature, self.max_tokens)

    def _sound(self) -> Sound:
        return Sound(self.audio_format, self.sample_rate, self.max_seconds, self.max_bytes)


def main(options: LabelPairs) -> int:
    """Get answers, write labels, and return 1 if some questions have none."""
    claim_folder(options.output, options)
    judge = options.judge()
    check_apart(options.pairs, *(options.output / name for name in ("answers.jsonl", "rows.jsonl")))
    pairs = load_pairs(options.pairs, options.limit)
    make_folder(options.output)
    store = AnswerStore(options.output / "answers.jsonl")
    questions = questions_of(judge, pairs)
    if options.results is not None:
        for answer in read_results(options.results):
            if answer.key in questions:
                store.add(answer)
    missing = {
        key: question for key, question in questions.items() if _is_open(store.get(key), options.retry_failed)
    }
    if options.export:
        requests, paths = write_batches(options.output, _sendable(judge, missing))
        print(json.dumps({"requests": requests, "files": [str(path) for path in paths]}))
        return 0 if requests == len(missing) else 1
    if options.endpoint:
        ask_all(options, judge, store, missing)
    answers = [answer for answer in map(store.get, questions) if answer is not None]
    used = {name: sum(getattr(answer, name) for answer in answers) for name in ("tokens_in", "tokens_out")}
    cost = (used["tokens_in"] * options.price_in + used["tokens_out"] * options.price_out) / 1e6
    counts = write_labels(pairs, judge, store, options.keep, options.output)
    facts = {"questions": len(questions), "answered": sum(bool(answer.verdicts) for answer in answers)}
    facts |= {**counts, **used, "cost": cost}
    write_run_record(options.output, options, instruction_hash=judge.instruction.hash, **facts)
    print(json.dumps(facts))
    return 0 if facts["answered"] == len(questions) else 1


def _sendable(
    judge: Judge, questions: Mapping[str, tuple[Preference, str]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the requests; a pair whose audio cannot be sent is reported and left out."""
    for key, (pair, order) in progress(questions.items(), "export"):
        try:
            yield key, judge.body(pair, order)
        except InputError as error:
            print(f"{pair.id}: {error}", file=sys.stderr)


def _is_open(answer: Answer | None, retry_failed: bool) -> bool:
    """Return whether a question has to be asked."""
    return answer is None or (retry_failed and not answer.verdicts)


def ask_all(
    options: LabelPairs, judge: Judge, store: AnswerStore, questions: Mapping[str, tuple[Preference, str]]
) -> None:
    """Ask questions side by side; each answer is on disk before the next one is waited for.

    A pair whose audio cannot be sent is reported and left out; a server that refuses ends the run, and all answers
    are kept.
    """
    patience = Patience(attempts=options.attempts, timeout=options.timeout)
    client = JudgeClient(options.endpoint, os.environ.get(options.api_key_variable, ""), patience)

    def ask(key: str, pair: Preference, order: str) -> Answer | str:
        try:
            body = judge.body(pair, order)
        except InputError as error:
            return f"{pair.id}: {error}"
        reply = client.ask(body, parse_answer)
        return Answer(key, reply.found or {}, reply.error, reply.tokens_in, reply.tokens_out, reply.attempts)

    bar = progress(total=len(questions), desc="judge")
    with ThreadPoolExecutor(options.concurrency) as threads:
        try:
            for done in _side_by_side(threads, ask, questions, 2 * options.concurrency):
                bar.update()
                if isinstance(done, str):
                    print(done, file=sys.stderr)
                else:
                    store.add(done)
        finally:
            client.stop()
            threads.shutdown(cancel_futures=True)
            bar.close()


def _side_by_side(
    threads: ThreadPoolExecutor,
    ask: Callable[[str, Preference, str], Answer | str],
    questions: Mapping[str, tuple[Preference, str]],
    most: int,
) -> Iterator[Answer | str]:
    """Yield answers as they come, with at most `most` questions under way."""
    waiting = iter(questions.items())
    running: set[Future[Answer | str]] = set()
    while True:
        for key, question in itertools.islice(waiting, most - len(running)):
            running.add(threads.submit(ask, key, *question))
        if not running:
            return
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        for one in finished:
            yield one.result()
