"""From times to clips per second, ratios with their range, and how near they come to the machine's limits."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.benchmarks.machine_limits import DecodingWork
from experiments.benchmarks.timing import over_turns, ratios
from generators.musicgen.decoder_weights import multiplies_bfloat16

BASE = "float32"  # all are compared with its loop, if that was timed


@dataclass(frozen=True)
class Timings:
    """What was measured of one numeric type, one value a turn."""

    #: seconds a clip, by way
    clip: Mapping[str, list[float]] = field(default_factory=lambda: {"ours": [], "batch": [], "loop": []})
    codec: list[float] = field(default_factory=list)  # seconds in which ours decodes all codes of a batch
    matmul: list[float] = field(default_factory=list)  # arithmetic of the machine, FLOP/s
    read: list[float] = field(default_factory=list)  # bandwidth of its memory, bytes/s


def report(
    timings: Mapping[str, Timings], works: Mapping[str, DecodingWork], clips: int, steps: int
) -> dict[str, Any]:
    """Return what was found of each numeric type, and notes on what is special about this machine.

    Parameters
    ----------
    timings, works
        Times and arithmetic, by numeric type.
    clips
        Clips in a batch.
    steps
        Steps of the decoder for a clip.
    """
    base = BASE if BASE in timings else next(iter(timings))
    found: dict[str, Any] = {}
    for dtype, times in timings.items():
        ways = times.clip
        found[dtype] = {
            "clips_per_second": {
                name: over_turns([1 / each for each in taken]) for name, taken in ways.items()
            },
            f"ours_over_loop_in_{base}": ratios(timings[base].clip["loop"], ways["ours"]),
            "ours_over_loop": ratios(ways["loop"], ways["ours"]),
            "ours_over_batch": ratios(ways["batch"], ways["ours"]),
            **_limits(times, works[dtype], clips, steps),
        }
    return {**found, "notes": _notes(timings)}


def _limits(times: Timings, work: DecodingWork, clips: int, steps: int) -> dict[str, Any]:
    matmul, read = statistics.median(times.matmul), statistics.median(times.read)
    arithmetic, memory = work.floors(matmul, read)
    taken = [
        (clip * clips - codec) / steps for clip, codec in zip(times.clip["ours"], times.codec, strict=True)
    ]
    floor = max(arithmetic, memory)
    return {
        "machine": {"matmul_gflop_per_s": round(matmul / 1e9, 1), "read_gb_per_s": round(read / 1e9, 1)},
        "codec_seconds": over_turns(times.codec),
        "step": {
            "gflop": round(work.flop / 1e9, 3),
            "gb": round(work.bytes / 1e9, 3),
            "milliseconds": over_turns([1000 * each for each in taken]),
            "arithmetic_milliseconds": float(f"{1000 * arithmetic:.4g}"),
            "memory_milliseconds": float(f"{1000 * memory:.4g}"),
            "limit": "arithmetic" if arithmetic >= memory else "memory",
            "reached": over_turns([floor / each for each in taken]),
        },
    }


def _notes(timings: Mapping[str, Timings]) -> list[str]:
    rates = {dtype: statistics.median(times.matmul) for dtype, times in timings.items()}
    return [
        f"products in {dtype} run at {rate / rates[BASE]:.2g} times the rate of {BASE} here: this machine has "
        f"no fast instructions for them{'' if multiplies_bfloat16() else f', and on a CPU ours multiplies in {BASE}'}"
        for dtype, rate in rates.items()
        if BASE in rates and rate < 0.9 * rates[BASE]
    ]
