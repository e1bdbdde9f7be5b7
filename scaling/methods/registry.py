"""Methods by name: a new one needs its file and a line here."""

import importlib
from typing import Any

from music.errors import InputError
from scaling.methods.protocol import Method

#: name: where its class lies
METHODS = {
    "prune": "scaling.methods.prune:Prune",
    "stop": "scaling.methods.stop:Stop",
    "cfg": "scaling.methods.cfg:CfgRejection",
    "random": "scaling.methods.independent:Independent",
    "noise": "scaling.methods.noise:NoiseSearch",
    "particles": "scaling.methods.particles:Particles",
    "evolve": "scaling.methods.evolve:Evolve",
    "gradient": "scaling.methods.gradient:GradientAscent",
}


def method_class(name: str) -> type[Method]:
    """Return the class of a method.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in METHODS:
        raise InputError(f"--method must be one of {', '.join(METHODS)}, got {name}")
    module, _, attribute = METHODS[name].partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    return found
