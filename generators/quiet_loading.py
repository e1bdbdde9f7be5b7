"""Load models without what their libraries say while doing it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence transformers' warnings and progress bar, and torch's words on how diffusers normalises weights.

    MusicGen's special token lies outside of the vocabulary, as it should; the bar is over the weights of small
    parts, which take no time. What is missing in a checkpoint must be looked for by whoever loads it.
    """
    from transformers.utils import logging as transformers_logging

    verbosity, had_bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*weight_norm. is deprecated", FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()
