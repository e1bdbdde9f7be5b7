"""A client that asks an OpenAI-style endpoint until it gives an answer that can be used, or patience ends.

Each failure has its remedy: a server that is busy, down or hangs is asked again after a pause that doubles (or as long
as it says in ``Retry-After``); an answer that was cut short is asked for with more tokens; an answer in another form is
asked for again, with what was wrong with it.
"""

import math
import random
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

import httpx

from music.errors import InputError, ServiceError
from reward.judge.answers import AnswerError
from reward.judge.replies import ReplyError, read_completion

Found = TypeVar("Found")

_BUSY = (408, 409, 425, 429)  # and all of 500 and above
_UNFIT = (400, 413, 415, 422)  # what the request holds; another one may be taken
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_LONGEST_PAUSE = 60.0  # s


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Attributes
    ----------
    attempts
        Number of times that a question is asked.
    pause
        Pause after the first failure, s; it doubles with each, give or take a half.
    timeout
        Longest wait for a reply, s.
    """

    attempts: int = 6
    pause: float = 1.0
    timeout: float = 120.0


@dataclass(frozen=True)
class Reply(Generic[Found]):
    """What came of a question.

    Attributes
    ----------
    found
        The answer; None if there was none that could be used.
    error
        Reason why there was none; empty if there was.
    tokens_in, tokens_out
        Tokens of all attempts.
    attempts
        Number of times that it was asked.
    """

    found: Found | None
    error: str
    tokens_in: int
    tokens_out: int
    attempts: int


class JudgeClient:
    """One endpoint, for any number of threads.

    Parameters
    ----------
    endpoint
        URL, such as ``http://localhost:8000/v1``.
    api_key
        Bearer token, if the server wants one.
    patience
        How long to bear with the server.

    Raises
    ------
    InputError
        If the endpoint is no URL, no header can hold the key, or a proxy or certificate of the environment is not to be
        used.
    """

    def __init__(self, endpoint: str, api_key: str = "", patience: Patience | None = None) -> None:
        _check_url(endpoint)
        self.patience = patience or Patience()
        key = api_key.strip()  # a file's line end is no part of it
        if not (key.isascii() and key.isprintable()):
            odd = next(letter for letter in key if not (letter.isascii() and letter.isprintable()))
            raise InputError(f"the key of the endpoint holds {odd!r}, which no header can: copy it again")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx.Client(headers=headers, timeout=self.patience.timeout)
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            raise InputError(
                f"no connection can be made ({error}): see the environment variables all_proxy, http_proxy, "
                "https_proxy, no_proxy and SSL_CERT_FILE"
            ) from error
        self._url = endpoint.rstrip("/") + "/chat/completions"
        self._random = random.Random()
        self._stopped = threading.Event()

    def ask(self, body: Mapping[str, Any], parse: Callable[[str], Found]) -> Reply[Found]:
        """Return the answer to a question, or after the last attempt what was wrong.

        Parameters
        ----------
        body
            The request, as ``/chat/completions`` takes it.
        parse
            Function that finds the answer in a text, or raises `AnswerError`.

        Raises
        ------
        InputError
            If the server refuses what the request holds (400, 413, 415, 422): asking again would not help.
        ServiceError
            If it refuses whoever asks (401, 403, 404, ...), leads elsewhere, or no attempt reaches it: another request
            would not help.
        """
        request = dict(body)
        error, tokens_in, tokens_out = "", 0, 0
        for attempt in range(1, self.patience.attempts + 1):
            wait, cut = 0.0, False
            try:
                reply = self._client.post(self._url, json=request)
                if reply.status_code in _BUSY or reply.status_code >= 500:
                    error, wait = f"status {reply.status_code}", self._pause(attempt, reply)
                elif reply.status_code >= 300:
                    raise self._refusal(reply)
                else:
                    found = read_completion(reply)
                    cut = found.is_cut
                    tokens_in, tokens_out = tokens_in + found.tokens_in, tokens_out + found.tokens_out
                    return Reply(parse(found.text), "", tokens_in, tokens_out, attempt)
            except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as problem:
                raise ServiceError(f"{self._url} cannot be asked: {problem}") from problem
            except httpx.HTTPError as problem:  # no connection, a timeout, a reply that ends early
                error, wait = f"{type(problem).__name__}: {problem}".rstrip(": "), self._pause(attempt)
                if isinstance(problem, _UNREACHABLE) and attempt == self.patience.attempts:
                    raise ServiceError(
                        f"{self._url} cannot be reached in {attempt} attempts ({problem}): start it and run again"
                        f"{_through_proxy()}"
                    ) from problem
            except ReplyError as problem:
                error, wait = str(problem), self._pause(attempt)
            except AnswerError as problem:
                error = str(problem)
                if cut:
                    request["max_tokens"] *= 2
                else:
                    request["messages"] = [*body["messages"], _objection(error)]
            if attempt < self.patience.attempts and self._stopped.wait(wait):
                break
        return Reply(None, error, tokens_in, tokens_out, attempt)

    def stop(self) -> None:
        """End all waiting."""
        self._stopped.set()

    def _refusal(self, reply: httpx.Response) -> InputError | ServiceError:
        if reply.status_code < 400:
            place = reply.headers.get("location") or "nowhere"
            return ServiceError(f"{self._url} leads to {place}: give --endpoint the address that answers")
        refusal = InputError if reply.status_code in _UNFIT else ServiceError
        return refusal(f"{self._url} refuses with {reply.status_code}: {reply.text[:300]}")

    def _pause(self, attempt: int, reply: httpx.Response | None = None) -> float:
        told = None if reply is None else seconds_told(reply.headers.get("retry-after", ""))
        if told is not None:
            return min(told, _LONGEST_PAUSE)
        return min(self.patience.pause * 2 ** (attempt - 1) * self._random.uniform(0.5, 1.5), _LONGEST_PAUSE)


def _check_url(endpoint: str) -> None:
    try:
        url = httpx.URL(endpoint)
        url.host.encode("idna")
        if url.scheme in ("http", "https") and url.host and (url.port or 1) < 1 << 16:
            return
        reason = ""
    except (httpx.InvalidURL, UnicodeError) as error:
        reason = f" ({error})"
    raise InputError(f"the endpoint must be a URL such as http://localhost:8000/v1, got {endpoint!r}{reason}")


def _through_proxy() -> str:
    """Return what else may be to blame where a server cannot be reached; empty without a proxy."""
    named = [f"{name}_proxy" for name in ("http", "https", "all") if urllib.request.getproxies().get(name)]
    return f", or see the proxy that {named[0]} names" if named else ""


def seconds_told(told: str) -> float | None:
    """Return the pause that a server asks for, s, by number or date; None if it says nothing that is one."""
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _objection(error: str) -> dict[str, str]:
    return {
        "role": "user",
        "content": f"Your last answer could not be used: {error}. Answer again, with the JSON object alone.",
    }
