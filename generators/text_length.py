"""How long texts are, in tokens: what is longer than a model takes is refused, where libraries cut it."""

from typing import Any

from music.errors import InputError

NO_LIMIT = 1_000_000  # tokens; tokenizers that know no longest text name a larger number
_LONGEST = 512  # tokens; what T5 was trained on, for tokenizers that do not say


def longest_text(tokenizer: Any) -> int:
    """Return how many tokens a T5 takes."""
    told: int = tokenizer.model_max_length
    return told if 0 < told < NO_LIMIT else _LONGEST


def token_count(tokenizer: Any, text: str) -> int:
    """Return the length of a text in tokens, however long it is."""
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def check_length(tokenizer: Any, text: str, longest: int, name: str) -> None:
    """`InputError` if a text, called `name` in the message, has more than `longest` tokens."""
    length = token_count(tokenizer, text)
    if length > longest:
        raise InputError(f"{name} has {length} tokens, the model takes at most {longest}")
