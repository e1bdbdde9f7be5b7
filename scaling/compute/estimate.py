"""From the work of clips to that of a run: FLOP, peak memory, disk, and time on a device.

Time is that of a roofline for each step: what arithmetic, memory or the start of operations needs, whichever is longest
(Williams et al. 2009), at the efficiencies that `scaling.compute.devices` states. Peak memory is that of tensors of the
largest stage beside the weights of generator and reward, which the main job holds at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generators.work import GeneratorWork
from reward.work import RewardWork
from scaling.compute.clip import ClipCompute
from scaling.compute.devices import Device

STAGES = ("generate", "decode", "score")
_SAMPLE = 3  # bytes of a 24-bit sample, before FLAC makes it smaller
_SPARE = 0.95  # of the memory, as allocators leave holes


@dataclass(frozen=True)
class Run:
    """What a run is about.

    Attributes
    ----------
    prompts, n
        Number of prompts, and of candidates for each.
    dtype
        Numeric type.
    kept
        Candidates of each prompt that are copied into best/.
    """

    prompts: int
    n: int
    dtype: str
    kept: int = 1


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a run costs on a device.

    Attributes
    ----------
    generator, reward
        The work of a clip.
    device
        Where it runs.
    run
        What it is about.
    factors
        Measured over estimated time of each stage (`scaling.compute.calibration`); 1 where nothing was measured.
    """

    generator: GeneratorWork
    reward: RewardWork
    device: Device
    run: Run
    factors: Mapping[str, float]

    @property
    def batch_size(self) -> int:
        """Clips that are generated side by side."""
        return self.generator.generator.batch_size

    def unit_seconds(self) -> dict[str, float]:
        """Return the time of one batch that is generated, of one clip that is decoded, and of one that is scored."""
        made, dtype, device = self.generator, self.run.dtype, self.device
        steps = sum(device.seconds(made.span(step, step + 1), dtype) for step in range(made.steps))
        units = {
            "generate": steps + device.seconds(made.conditions, dtype),
            "decode": device.seconds(made.preview(1.0), "float32"),
            "score": device.seconds(self.reward.scoring(made.seconds), dtype),
        }
        return {stage: self.factors.get(stage, 1.0) * units[stage] for stage in STAGES}

    def seconds(self) -> dict[str, float]:
        """Return the time of each stage of the whole run."""
        units, clips, device = self.unit_seconds(), self.run.prompts * self.run.n, self.device
        texts = self.run.prompts * device.seconds(self.generator.text, "float32")
        prompts = self.run.prompts * device.seconds(self.reward.prompt, self.run.dtype)
        return {
            "generate": math.ceil(clips / self.batch_size) * units["generate"] + texts,
            "decode": clips * units["decode"],
            "score": clips * units["score"] + prompts,
        }

    def memory(self) -> dict[str, float]:
        """Return the bytes of weights, of the largest stage beside them, and of all at once, at most."""
        cpu = self.device.name == "cpu"
        copies = self.generator.generator.further_weights("cpu" if cpu else "cuda")
        weights = {"generator": self.generator.weights + copies, "reward": self.reward.weights}
        # on a CPU a core scores one clip at a time
        together = 1 if cpu else self.run.prompts * self.run.n
        stages = {
            "generate": self.generator.peak - self.generator.weights,
            "decode": self.generator.decoding_peak - self.generator.weights,
            "score": self.reward.peak(self.generator.seconds, together) - self.reward.weights,
        }
        whole = sum(weights.values()) + max(stages.values()) + self.device.reserved
        return {
            **{f"{name}_weights": float(size) for name, size in weights.items()},
            **{name: float(size) for name, size in stages.items()},
            "reserved": self.device.reserved,
            "peak": whole,
            "available": self.device.memory,
        }

    def fits(self) -> bool:
        """Return whether the memory of the device suffices."""
        memory = self.memory()
        return memory["peak"] <= _SPARE * memory["available"]

    def cure(self) -> str:
        """Return what would make it fit; empty if it does."""
        if self.fits():
            return ""
        memory = self.memory()
        fixed = memory["generator_weights"] + memory["reward_weights"] + memory["reserved"]
        room = _SPARE * memory["available"] - fixed
        a_clip = memory["generate"] / self.batch_size
        most = int(room / a_clip)
        if max(memory["decode"], memory["score"]) <= room and most >= 1 and most < self.batch_size:
            return f"--batch_size {2 ** int(math.log2(most))}"
        if self.run.dtype == "float32":
            return "--dtype bfloat16"
        return "shorter clips (--seconds), a smaller generator or a larger card"

    def disk(self) -> dict[str, float]:
        """Return the bytes of audio, tokens and best/ on disk, at most."""
        made, clips = self.generator, self.run.prompts * self.run.n
        audio = made.seconds * made.generator.sample_rate * made.generator.channels * _SAMPLE
        return {
            "audio": clips * audio,
            "tokens": float(clips * made.token_bytes),
            "best": self.run.prompts * self.run.kept * audio,
        }

    def as_json(self) -> dict[str, Any]:
        """Return all of it by name."""
        compute = ClipCompute(self.generator, self.reward)
        clips, seconds, disk = self.run.prompts * self.run.n, self.seconds(), self.disk()
        return {
            "device": self.device.name,
            "dtype": self.run.dtype,
            "prompts": self.run.prompts,
            "n": self.run.n,
            "clip_seconds": self.generator.seconds,
            "batch_size": self.batch_size,
            "steps": self.generator.steps,
            "flop": {
                "generate": compute.generating(),
                "decode": compute.decoding(),
                "score": compute.scoring(self.generator.seconds),
                "clip": compute.clip,
                "prompt": compute.prompt,
                "run": clips * compute.clip + self.run.prompts * compute.prompt,
            },
            "memory": self.memory(),
            "fits": self.fits(),
            "cure": self.cure(),
            "disk": {**disk, "all": sum(disk.values())},
            "seconds": {**seconds, "all": sum(seconds.values())},
            "measured_over_estimated": dict(self.factors),
            "assumed": {
                "arithmetic": self.device.arithmetic,
                "reading": self.device.reading,
                "operation_seconds": self.device.operation,
            },
        }
