"""What an OpenAI-style endpoint has replied: text and tokens, or the one reason why it is no chat completion."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

_MOST_TOKENS = 1 << 40  # no answer takes more: the server does not count


class ReplyError(Exception):
    """Why a reply is no chat completion."""


@dataclass(frozen=True)
class Completion:
    """A chat completion.

    Attributes
    ----------
    text
        What the model says; empty if it says nothing.
    is_cut
        Whether it had no more tokens.
    tokens_in, tokens_out
        Tokens that were used, 0 where the server does not say.
    """

    text: str
    is_cut: bool
    tokens_in: int
    tokens_out: int


def read_completion(reply: httpx.Response) -> Completion:
    """Return the chat completion of a reply; `ReplyError` if it is none."""
    try:
        found = reply.json()
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"not a chat completion: {reply.text[:100]!r}") from error
    return completion_of(found)


def completion_of(found: Any) -> Completion:
    """Return the chat completion that a JSON value describes.

    Raises
    ------
    ReplyError
        If it is none; an error in its place is the reason.
    """
    if isinstance(found, dict) and found.get("error") and not found.get("choices"):
        told = found["error"]
        message = told.get("message") if isinstance(told, dict) else told
        raise ReplyError(f"an error in place of a chat completion: {' '.join(str(message).split())[:200]}")
    try:
        choice = found["choices"][0]
        content = choice["message"]["content"]
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ReplyError(f"not a chat completion: {json.dumps(found)[:100]!r}") from error
    usage = found.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    used = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    return Completion(_text(content), finish == "length", *used)


def _text(content: Any) -> str:
    """Return the text of a message, which some servers give in parts, beside those of what the model thought."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        texts = [part.get("text") for part in content if part.get("type", "text") == "text"]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
    raise ReplyError(f"not a chat completion: its content is {str(content)[:100]!r}, not a text")


def _count(value: Any) -> int:
    try:
        count = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count < _MOST_TOKENS else 0
