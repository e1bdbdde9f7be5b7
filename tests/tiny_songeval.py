"""A tiny SongEval: a head in the published format, and a MuQ of seven layers with random weights beside it."""

import json
import shutil
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
MUQ = "MuQ-large-msd-iter"


def build_tiny_songeval(folder: Path) -> Path:
    """Write the folder and return it."""
    from safetensors.torch import save_file

    shutil.copytree(DATA / "songeval", folder)
    config = json.loads((DATA / "scoring" / "muq-tiny" / "config.json").read_text()) | {"encoder_depth": 7}
    (folder / MUQ).mkdir()
    (folder / MUQ / "config.json").write_text(json.dumps(config))
    save_file(build_muq(config).state_dict(), folder / MUQ / "model.safetensors")
    return folder


def build_muq(config: dict[str, Any]) -> Any:
    """Return muq's own model with random weights."""
    import torch

    from reward.cmi_rm.muq_import import import_muq

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return import_muq().MuQ(config).eval()
