"""Small trainings for the tests: their data, and what they leave behind."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import torch

import reward
from music.clips import Clip, write_clip
from reward.training.trainer import Trainer


def write_pairs(path, count, seed):
    """Write pairs of a tone (good) and noise (bad); alignment asks for the louder one."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for index in range(count):
        samples = int(24_000 * (0.5 + 0.5 * torch.rand((), generator=generator)))
        time = torch.arange(samples) / 24_000
        tone = 0.4 * torch.sin(2 * torch.pi * (200 + 500 * torch.rand((), generator=generator)) * time)
        noise = 0.1 * torch.randn(samples, generator=generator)
        pair = {"a": tone, "b": noise} if index % 2 else {"a": noise, "b": tone}
        names = {side: f"audio/{seed}-{index}{side}.flac" for side in pair}
        for side, wave in pair.items():
            write_clip(path.parent / names[side], Clip(wave[None], 24_000))
        better = "a" if index % 2 else "b"
        rows.append(
            {
                "id": f"{seed}-{index}",
                "text": ["upbeat pop", "slow piano"][index % 2],
                "lyrics": "la la" if index % 3 == 0 else "",
                "reference": names["a"] if index % 4 == 0 else "",
                **{f"audio_{side}": name for side, name in names.items()},
                "preference_musicality": better,
                "preference_alignment": ["a", "b", "tie", ""][index % 4],
            }
        )
    write_rows(path, rows)


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train_in_two_processes(config):
    options = [f"--{name}={value}" for name, value in dataclasses.asdict(config).items() if value is not None]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(reward.__file__).parent / "train.py"
    ran = subprocess.run([*launcher, str(script), *options], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def rated(row):
    """Return a rating of clip a of a preference: a tone is good, noise is not."""
    tone = row["preference_musicality"] == "a"
    kept = {name: row[name] for name in ("text", "lyrics", "reference")}
    ratings = {"rating_musicality": 4.6 if tone else 1.4, "rating_alignment": None if tone else 2.0}
    return {"id": f"rated-{row['id']}", "audio": row["audio_a"], **kept, **ratings}


def read_log(config):
    with open(f"{config.output}/log.jsonl") as file:
        return [json.loads(line) for line in file]


def curve(config):
    """Return the losses of each step."""
    return torch.tensor(
        [[row["musicality"], row["alignment"]] for row in read_log(config) if "seconds" in row]
    )


def die_at(monkeypatch, call):
    """Make the given training step die before it changes anything on disk."""
    step, count = Trainer._step, []

    def step_or_die(self, data):
        count.append(1)
        if len(count) == call:
            raise KeyboardInterrupt
        return step(self, data)

    monkeypatch.setattr(Trainer, "_step", step_or_die)
