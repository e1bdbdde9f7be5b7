"""A reader that goes ends nothing."""

import os
import sys

import pytest

from music.closed_pipes import outlive_readers
from music.errors import InputError


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("unbuffered", [False, True])
def test_what_nobody_reads_is_dropped(monkeypatch, name, unbuffered):
    reading, writing = os.pipe()
    stream = open(writing, "w", encoding="ascii")  # noqa: SIM115
    stream.reconfigure(write_through=unbuffered)
    for place in (name, f"__{name}__"):
        monkeypatch.setattr(sys, place, stream)
    outlive_readers()
    print("first, na\u00efve", file=getattr(sys, name), flush=True)
    assert os.read(reading, 100) == b"first, na\\xefve\n"
    os.close(reading)
    for _ in range(3):
        print("x" * 100_000, file=getattr(sys, name), flush=True)
    getattr(sys, name).close()
    stream.close()


def test_a_full_disk_is_told_once(monkeypatch):
    with open("/dev/full", "w") as stream:
        for name in ("stdout", "__stdout__"):
            monkeypatch.setattr(sys, name, stream)
        outlive_readers()
        print("some")
        with pytest.raises(InputError, match="cannot write what is printed: No space left"):
            sys.stdout.flush()
        sys.stdout.close()


def test_streams_that_were_replaced_are_left_alone(capsys):
    before = sys.stdout, sys.stderr
    outlive_readers()
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_goes_to_a_stream_that_was_closed_before_is_dropped(monkeypatch, name):
    for place in (name, f"__{name}__"):
        monkeypatch.setattr(sys, place, None)
    outlive_readers()
    with getattr(sys, name) as stream:
        print("some", file=stream, flush=True)
