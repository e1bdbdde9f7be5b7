"""Repairs of torchaudio and MKL, for what their present releases get wrong.

PyPI's torchaudio wheel links its compiled extension against CUDA, so `import torchaudio` fails beside a CPU build of
torch, and with it whatever probes for torchaudio (transformers' MusicGen and audio utilities, MuQ). The transforms are
pure Python and run without the extension when its file is absent: `repair_torchaudio` puts the package into that state.

MKL, with which torch computes vector functions on a CPU, chooses the kernel of a function when it is first called.
Where several threads make that first call together, one of them may compute its share with a kernel of low accuracy: a
cosine is then wrong by up to 8e-5, once in a process, and a score that begins with a Hann window by up to 0.07
(https://github.com/pytorch/pytorch/issues/188792; MKL 2024.2, which torch's wheels carry). `settle_vector_math` makes
the first calls from one thread.

MKL also chooses kernels by where an operand lies in memory and by a thread's share of the rows, so that one row may
get other bits at another place of a batch (on an AMD EPYC with two threads: products of 5, 6, 7, 9, 10 and 11 rows, and
all attention of one query). Its conditional numerical reproducibility, `MKL_CBWR=AUTO`, ends that; `music/__init__.py`
asks for it unless the environment says otherwise, and `generators.shared.slots` proves what came of it.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch

FUNCTIONS = (
    *("acos", "asin", "atan", "cos", "erf", "erfc", "erfinv", "exp"),
    *("log", "log10", "log2", "sin", "sqrt", "tan", "tanh", "trunc"),
)


def settle_vector_math() -> None:
    """Call each function once from one thread, in both of its precisions."""
    for dtype in (torch.float32, torch.float64):
        for name in FUNCTIONS:
            getattr(torch, name)(torch.zeros(1, dtype=dtype))


def repair_torchaudio() -> None:
    """Import torchaudio if it is installed, without its extension if that does not load."""
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio") is None:
        return
    try:
        importlib.import_module("torchaudio")
    except (OSError, ImportError):  # a library that does not load, or CUDA versions that disagree
        _forget_torchaudio()
        sys.modules["torchaudio._extension"] = _absent_extension()
        try:
            importlib.import_module("torchaudio")
        except BaseException:
            _forget_torchaudio()
            raise


def _absent_extension() -> types.ModuleType:
    """Return what `torchaudio._extension` is when the compiled library is not there."""

    def unavailable(function: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError(f"{function.__name__} needs torchaudio's extension, which does not load here")

        return fail

    module = types.ModuleType("torchaudio._extension")
    module.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=unavailable,
    )
    return module


def _forget_torchaudio() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
