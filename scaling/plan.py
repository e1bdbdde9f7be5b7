"""Before a long run: what best of n will cost, whether it fits a card, and whether it takes an evening or a week.

    python -m scaling.plan --generator facebook/musicgen-large --reward cmi-rm --prompts google/MusicCaps --n 10 \
        --seconds 10 --gpu H100 --dtype bfloat16
    music-reward plan --gpu cpu --calibrate calibration.json
    music-reward plan --gpu cpu --measured calibration.json --n 100

Models are run without weights for one clip (`music.shapes`), so that nothing is downloaded and no GPU is needed: FLOP,
memory and operations are counted on the code that will run. Time follows from the peaks of the device and stated
efficiencies (`scaling.compute.devices`), or from a calibration on the machine itself. A published MusicGen or Stable
Audio Open 1.0 is known by its sizes; of another model the folder must be there, configurations and tokenizers at least.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from music.command import refuse_below_one, run
from music.durable import write_json
from music.errors import InputError
from music.options import Generation, Rewarding
from music.prompts import Prompt, load_prompts
from scaling.compute.calibration import calibrate, read_calibration
from scaling.compute.clip import work_of
from scaling.compute.devices import find_device_facts
from scaling.compute.estimate import STAGES, Estimate, Run


@dataclass(frozen=True)
class Plan(Rewarding, Generation):
    """Say what best of n will cost: FLOP, memory, disk and hours.

    Attributes
    ----------
    generator
        Generator, as for best-of-n; a published MusicGen or Stable Audio Open 1.0 need not be there.
    prompts
        Prompts, as for best-of-n, or their number (2858).
    n
        Number of candidates for each prompt.
    seconds
        Length of each clip, s.
    limit
        Number of prompts to take from the beginning; all if not given.
    gpu
        Device that is planned for; cpu is this machine, whose speed is measured for a moment.
    dtype
        Numeric type of the models.
    calibrate
        File to write; a batch is made and scored on this machine first, with the true models, and corrects the time.
    measured
        File of an earlier --calibrate with the same models, numeric type and device, which corrects the time.
    output
        JSON file for all numbers.
    """

    generator: str = "lab-musicgen"
    prompts: str = "lab"
    n: int = 10
    seconds: float = 5.0
    limit: int | None = None
    gpu: Literal["H200", "H100", "A100", "4090", "cpu"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    calibrate: Path | None = None
    measured: Path | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n", "limit", "batch_size")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        if self.calibrate and self.measured:
            raise InputError("--calibrate measures anew what --measured reads: give one of them")

    @property
    def device(self) -> str:
        """Where a calibration runs."""
        return "cpu" if self.gpu == "cpu" else "cuda"


def main(config: Plan) -> None:
    """Print the plan."""
    count, prompt = _prompts(config)
    generator, reward = work_of(config, prompt)
    asked = Run(count, config.n, config.dtype)
    device = find_device_facts(config.gpu)
    factors = read_calibration(config, config.measured) if config.measured else {}
    estimate = Estimate(generator, reward, device, asked, factors)
    if config.calibrate:
        factors = calibrate(config, estimate, prompt, config.calibrate)
        estimate = Estimate(generator, reward, device, asked, factors)
    found = {"generator": config.generator, "reward": config.reward, **estimate.as_json()}
    if config.output:
        write_json(config.output, found)
    print(plan_table(found))


def _prompts(config: Plan) -> tuple[int, Prompt]:
    """Return the number of prompts, and one of usual length."""
    if config.prompts.isdigit():
        count = int(config.prompts)
        if count < 1:
            raise InputError(f"--prompts must be at least 1, got {config.prompts}")
        return count, Prompt("usual", "a slow sad piano melody, no drums, recorded in an empty hall")
    prompts = sorted(load_prompts(config.prompts, config.limit), key=lambda one: len(one.text))
    return len(prompts), prompts[len(prompts) // 2]


def plan_table(found: dict[str, Any]) -> str:
    """Return the plan for people, without a newline at the end."""
    flop, memory, seconds, disk = (found[name] for name in ("flop", "memory", "seconds", "disk"))
    corrected = found["measured_over_estimated"]
    rows = [["", "FLOP a clip", "memory", "time"]]
    for stage in STAGES:
        rows.append([stage, _si(flop[stage], "FLOP"), _si(memory[stage], "B"), _duration(seconds[stage])])
    rows.append(["all", _si(flop["clip"], "FLOP"), _si(memory["peak"], "B"), _duration(seconds["all"])])
    source = (
        "corrected by what was measured"
        if corrected
        else "estimated: {arithmetic:.0%} of the peak arithmetic, {reading:.0%} of the bandwidth, "
        "{operation_seconds:.0e} s an operation".format(**found["assumed"])
    )
    fits = "fits" if found["fits"] else f"does NOT fit: try {found['cure']}"
    lines = [
        f"{found['generator']}, {found['reward']}: {found['prompts']} prompts x {found['n']} clips of "
        f"{found['clip_seconds']:g} s in {found['dtype']} on {found['device']}, batches of {found['batch_size']}",
        "",
        *_aligned(rows),
        "",
        f"the run: {_si(flop['run'], 'FLOP')}, {_duration(seconds['all'])} ({source})",
        f"memory: {_si(memory['generator_weights'], 'B')} generator, {_si(memory['reward_weights'], 'B')} reward, "
        f"{_si(memory['peak'], 'B')} at most of {_si(memory['available'], 'B')}: {fits}",
        f"disk: at most {_si(disk['all'], 'B')} ({_si(disk['audio'], 'B')} audio, {_si(disk['tokens'], 'B')} tokens)",
    ]
    return "\n".join(lines)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _si(value: float, unit: str) -> str:
    prefixes = ["", "k", "M", "G", "T", "P", "E", "Z"]
    power = min(len(prefixes) - 1, max(0, int(math.log10(value) // 3))) if value >= 1 else 0
    return f"{value / 1000**power:.3g} {prefixes[power]}{unit}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


if __name__ == "__main__":
    run(main, Plan)
