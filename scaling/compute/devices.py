"""What devices can do: peaks from the vendors' data sheets, and how much of them is assumed to be reached.

| device | source |
|---|---|
| H200 | NVIDIA H200 Tensor Core GPU data sheet, SXM: 989 TFLOP/s bfloat16 (dense), 67 float32, 4.8 TB/s, 141 GB |
| H100 | NVIDIA H100 Tensor Core GPU data sheet, SXM: 989 TFLOP/s bfloat16 (dense), 67 float32, 3.35 TB/s, 80 GB |
| A100 | NVIDIA A100 Tensor Core GPU data sheet, SXM 80 GB: 312 TFLOP/s bfloat16, 19.5 float32, 2.039 TB/s |
| 4090 | NVIDIA Ada architecture white paper: 165.2 TFLOP/s bfloat16 (float32 sums), 82.6 float32, 1.008 TB/s, 24 GB |
| cpu | this machine, measured when it is asked for (`music.machine_rates`) |

float32 is that of the plain units, as nothing here computes in TF32. An operation takes at least the time in which
PyTorch starts it, which decides how fast small models and single steps are. Efficiencies and that time are assumptions,
not measurements: a calibration (`scaling.compute.calibration`) takes their place.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from music.machine_rates import matmul_rate, read_rate
from music.shapes import Cost

_MATMUL, _READ = 1024, 256_000_000  # sizes that are tried on a CPU


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes
    ----------
    name
        Its name.
    memory
        Bytes of its memory.
    flops
        Peak FLOP/s by numeric type.
    bandwidth
        Peak bytes/s of its memory.
    reserved
        Bytes that are taken before any model: of CUDA and its libraries, or of Python and torch.
    arithmetic, reading
        Share of both peaks that is assumed to be reached.
    operation
        Seconds that an operation takes at least.
    """

    name: str
    memory: float
    flops: Mapping[str, float]
    bandwidth: float
    reserved: float = 1e9
    arithmetic: float = 0.4
    reading: float = 0.6
    operation: float = 8e-6

    def seconds(self, cost: Cost, dtype: str) -> float:
        """Return how long some work takes: what arithmetic, memory or the start of operations needs, the longest."""
        return max(
            cost.flop / (self.flops[dtype] * self.arithmetic),
            cost.traffic / (self.bandwidth * self.reading),
            cost.operations * self.operation,
        )


def _gpu(name: str, gigabytes: float, bfloat16: float, float32: float, terabytes: float) -> Device:
    flops = {"bfloat16": bfloat16 * 1e12, "float32": float32 * 1e12}
    return Device(name, gigabytes * 1e9, flops, terabytes * 1e12)


GPUS = {
    device.name: device
    for device in (
        _gpu("H200", 141, 989, 67, 4.8),
        _gpu("H100", 80, 989, 67, 3.35),
        _gpu("A100", 80, 312, 19.5, 2.039),
        _gpu("4090", 24, 165.2, 82.6, 1.008),
    )
}


def find_device_facts(name: str) -> Device:
    """Return a device of the table, or this machine's CPU, whose rates are measured now."""
    return GPUS[name] if name in GPUS else _this_cpu()


def _this_cpu() -> Device:
    place = torch.device("cpu")
    flops = {
        name: matmul_rate(dtype, place, _MATMUL)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device("cpu", memory, flops, read_rate(place, _READ), 0.7e9, 0.5, 0.5, 5e-6)
