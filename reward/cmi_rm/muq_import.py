"""Import `muq` where two of its dependencies are not healthy.

- torchaudio: see `music.library_repairs`.
- `muq` imports `x_clip` for the vocabulary size in the default argument of a class that MuQ-MuLan
  never builds; the real package drags torchvision in. A stand-in with that one number serves.

Where the real thing imports, it is used and nothing is changed.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import types

from music.errors import InputError
from music.library_repairs import repair_torchaudio

_CLIP_VOCABULARY = 49_408
_CURE = "pip install --no-deps muq==0.1.0 torchaudio==2.11.0"


def import_muq() -> types.ModuleType:
    """Return the package `muq`.

    Raises
    ------
    InputError
        If it or torchaudio is not installed.
    """
    for package in ("torchaudio", "muq"):
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            raise InputError(f"{package} is not installed: {_CURE}")
    repair_torchaudio()
    _stand_in_for_x_clip()
    return importlib.import_module("muq")


def _stand_in_for_x_clip() -> None:
    if "x_clip" in sys.modules or importlib.util.find_spec("x_clip") is not None:
        return
    package, tokenizer = types.ModuleType("x_clip"), types.ModuleType("x_clip.tokenizer")
    for module in (package, tokenizer):
        # without a spec, importlib.util.find_spec raises for whoever probes later
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=module is package)
    package.__path__ = []
    package.__dict__["tokenizer"] = tokenizer
    tokenizer.__dict__["tokenizer"] = types.SimpleNamespace(vocab_size=_CLIP_VOCABULARY)
    sys.modules["x_clip"], sys.modules["x_clip.tokenizer"] = package, tokenizer
