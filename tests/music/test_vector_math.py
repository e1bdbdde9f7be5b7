"""A function's first call in a process is as exact as all later ones."""

import re
import subprocess
import sys
from pathlib import Path

import torch

from music.library_repairs import FUNCTIONS

ASKED = """
import math, torch
torch.set_num_threads(2)
import music.clips
places = torch.arange(2048, dtype=torch.float64)
exact = 0.5 - 0.5 * torch.cos(math.tau * places / 2048)
print(float((torch.hann_window(2048) - exact).abs().max()))
"""

COUNTED = """
import torch
called = []
def counting(name, function):
    return lambda given: called.append((name, given.dtype)) or function(given)
from music.library_repairs import FUNCTIONS
for name in FUNCTIONS:
    setattr(torch, name, counting(name, getattr(torch, name)))
import music.clips
assert len(set(called)) == 2 * len(FUNCTIONS), called
"""


def test_all_functions_that_torch_gives_to_mkl_are_settled():
    header = Path(torch.__file__).parent / "include/ATen/cpu/vml.h"
    given = re.findall(r"^IMPLEMENT_VML_MKL\((\w+),", header.read_text(), re.MULTILINE)
    assert sorted(given) == sorted(FUNCTIONS)


def test_whoever_imports_clips_has_settled_them():
    subprocess.run([sys.executable, "-c", COUNTED], check=True)


def test_the_first_window_of_many_processes_is_exact():
    asked = [subprocess.Popen([sys.executable, "-c", ASKED], stdout=subprocess.PIPE) for _ in range(4)]
    errors = [float(one.communicate()[0]) for one in asked]
    assert max(errors) < 1e-6
