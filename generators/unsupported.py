"""Prompts that ask for more than a generator looks at."""

import sys
from collections.abc import Sequence

from tqdm import tqdm

from generators.protocol import Generator
from music.errors import InputError
from music.prompts import Prompt

_PARTS = ("lyrics", "reference")


def refuse_unsupported(generator: Generator, prompts: Sequence[Prompt]) -> None:
    """`InputError` for the first prompt with a part that the generator does not accept."""
    for prompt in prompts:
        for part in _PARTS:
            if getattr(prompt, part) and part not in generator.accepts:
                article, follow = "", ""
                if part == "reference":
                    article, follow = "a ", "let a MusicGen go on from it by --continuation S, "
                raise InputError(
                    f"prompt {prompt.id!r} has {article}{part}, which {generator.name} does not look at: choose "
                    f"another generator (python -m generators list), {follow}or go on without by "
                    "--ignore_unsupported true"
                )


def warn_of_unsupported(generator: Generator, prompts: Sequence[Prompt]) -> None:
    """Say on stderr, a line each, which parts of the prompts the generator does not look at."""
    for part in _PARTS:
        count = sum(bool(getattr(prompt, part)) for prompt in prompts)
        if count and part not in generator.accepts:
            prompts_have = "1 prompt has" if count == 1 else f"{count} prompts have"
            message = f"warning: {generator.name} does not look at {part}, which {prompts_have}"
            tqdm.write(message, file=sys.stderr)
