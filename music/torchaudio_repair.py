"""Make torchaudio importable where only its compiled extension is not healthy.

PyPI's torchaudio wheel links that extension against CUDA, so `import torchaudio` fails beside a CPU build of
torch, and with it whatever probes for torchaudio (transformers' MusicGen and audio utilities, MuQ). The
transforms are pure Python and run without the extension when its file is absent: `repair_torchaudio` puts the
package into that state.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any


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
