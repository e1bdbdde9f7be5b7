"""A tiny MuQ-Eval: random weights in the published format, with the config of a small MuQ beside it."""

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
MUQ = "MuQ-large-msd-iter"
# as published: what all experiments share, and what is this one's own
BASE = """
data: {sample_rate: 24000, clip_duration_sec: 10.0, clip_samples: 240000}
model:
  encoder: muq
  encoder_id: OpenMuQ/MuQ-large-msd-iter
  encoder_dim: 32
  tuning_mode: lora
  pooling: attention
  head_hidden_dim: 24
  head_layers: 2
  head_dropout: 0.1
  heads: [{name: MI}, {name: TA}]
loss: {type: ordinal_ce, bias_calibration: false, uncertainty_weighting: false}
"""
OWN = """
defaults: [base]
experiment: {name: A1_frozen_mlp}
model: {tuning_mode: frozen}
loss: {type: mse}
"""


def build_tiny_muq_eval(folder: Path) -> Path:
    """Write the folder and return it."""
    import torch
    from safetensors.torch import load_file

    from tests.tiny_songeval import build_muq

    config: dict[str, Any] = json.loads((DATA / "scoring" / "muq-tiny" / "config.json").read_text())
    (folder / MUQ).mkdir(parents=True)
    (folder / MUQ / "config.json").write_text(json.dumps(config))
    (folder / "base.yaml").write_text(BASE)
    (folder / "config.yaml").write_text(OWN)
    head = load_file(DATA / "muq_eval" / "head.safetensors")
    weights = {f"encoder.encoder.{key}": value for key, value in build_muq(config).state_dict().items()}
    torch.save({**weights, **head}, folder / "model_state_dict.pt")
    return folder
