"""How fast CMI-RM at its true size finds the best of n, against its authors' loop.

    python -m experiments.benchmarks.scoring                                   # two CPU cores: about ten minutes
    python -m experiments.benchmarks.scoring --device cuda --turns 3
    python -m experiments.benchmarks.scoring --towers muq-mulan-tiny --candidates 3 --seconds 1

MuQ-MuLan-large and the head of 33 million parameters are built with random weights, which are as fast as the true ones.
The candidates are noise. In every turn our scorer and the restated loop (`authors_loop.py`) score the same ones, in
float32 and in bfloat16, for a prompt of a text, of a text and lyrics, and of both and a reference; ours begins with
empty caches. Their scores must agree. The counted arithmetic and the machine's best product of matrices, measured in
the same turns, tell how near ours comes to what the machine can do.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.authors_loop import AuthorsLoop
from experiments.benchmarks.machine_limits import count_flop, matmul_rate
from experiments.benchmarks.random_models import TOWERS, random_towers
from experiments.benchmarks.timing import Timing, over_turns, ratios, refuse_unknown
from music.clips import Clip, read_clip, write_clip
from music.command import refuse_below_one, run, split_names
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest
from reward.cmi_rm.checkpoint import CMIRM
from reward.cmi_rm.config import CMIRMConfig
from reward.cmi_rm.head import ALIGNMENT, MUSICALITY, RewardHead
from reward.cmi_rm.scorer import CMIRMScorer
from reward.cmi_rm.towers import CHUNK_SECONDS

CASES = ("text", "lyrics", "reference")  # each adds to the one before
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WORDS = (60, 160)  # of a text, of lyrics: a long caption, two verses and a chorus
_AGREEMENT = 1e-4  # of scores in float32


@dataclass(frozen=True, kw_only=True)
class ScoringSpeed(Timing):
    """Time the scoring of the candidates of one prompt.

    Parameters
    ----------
    towers
        Size of the towers: muq-mulan-large or muq-mulan-tiny.
    cases
        What the prompt holds, separated by commas: text, lyrics (with text), reference (with both).
    dtypes
        Numeric types, separated by commas: float32, bfloat16.
    candidates
        Number of candidates of the prompt.
    seconds
        Length of each candidate, s.
    reference_seconds
        Length of the reference, s.
    """

    towers: str = "muq-mulan-large"
    cases: str = ",".join(CASES)
    dtypes: str = ",".join(_DTYPES)
    candidates: int = 10
    seconds: float = 10.0
    reference_seconds: float = 30.0
    matmul: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below_one(self, "candidates")
        for option, known in (("towers", TOWERS), ("cases", CASES), ("dtypes", _DTYPES)):
            refuse_unknown(self, option, known)
        for option in ("seconds", "reference_seconds"):
            if not 0.1 <= getattr(self, option) <= CHUNK_SECONDS:
                raise InputError(
                    f"--{option} must lie between 0.1 and {CHUNK_SECONDS}, got {getattr(self, option)}"
                )


@dataclass(frozen=True)
class Job:
    """Candidates and their prompt."""

    waves: torch.Tensor  # candidates `[N, samples]` at 24 kHz
    text: str
    lyrics: str
    reference: tuple[torch.Tensor, Path] | None  # audio of the reference `[samples]`, and the same in a file

    def ours(self, scorer: CMIRMScorer) -> torch.Tensor:
        """Return our scores `[N, 2]`."""
        prompt = Prompt("p", self.text, self.lyrics, None if self.reference is None else self.reference[1])
        found = scorer.score([ScoreRequest(Clip(wave[None], 24_000), prompt) for wave in self.waves])
        columns = {MUSICALITY: "musicality", ALIGNMENT: "alignment"}
        return torch.tensor([[one[columns[column]] for column in sorted(columns)] for one in found])

    def theirs(self, loop: AuthorsLoop, device: torch.device, dtype: str) -> torch.Tensor:
        """Return their scores `[N, 2]`."""
        heard = None if self.reference is None else self.reference[0].to(device)
        return loop.score(self.waves.to(device), self.text, self.lyrics, heard, dtype)


def main(options: ScoringSpeed) -> None:
    """Time all cases and print the report as JSON."""
    device = options.start()
    dtypes = split_names(options.dtypes)
    models = {dtype: random_cmi_rm(options.towers, dtype) for dtype in {"float32", *dtypes}}
    scorers = {dtype: CMIRMScorer(models[dtype], device=options.device) for dtype in models}
    loop = AuthorsLoop(models["float32"], device)
    report: dict[str, Any] = {
        "options": dataclasses.asdict(options),
        "threads": torch.get_num_threads(),
        "parameters": {
            "towers": sum(one.numel() for one in models["float32"].towers.parameters()),
            "head": sum(one.numel() for one in models["float32"].head.parameters()),
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        jobs = make_jobs(options, Path(folder))
        for dtype in dtypes:  # before the clock runs
            first = next(iter(jobs.values()))
            single = dataclasses.replace(first, waves=first.waves[:1])
            single.ours(scorers[dtype])
            single.theirs(loop, device, dtype)
        took: dict[tuple[str, str, str], list[float]] = {}
        rates: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
        scores: dict[tuple[str, str, str], torch.Tensor] = {}
        for _ in range(options.turns):
            for dtype in dtypes:
                rates[dtype].append(matmul_rate(_DTYPES[dtype], device, options.matmul))
                for case, job in jobs.items():
                    scorers[dtype].forget()
                    for way, work in (
                        ("ours", lambda: job.ours(scorers[dtype])),  # noqa: B023 - called at once
                        ("theirs", lambda: job.theirs(loop, device, dtype)),  # noqa: B023
                    ):
                        seconds, found = timed(work, device)
                        took.setdefault((case, dtype, way), []).append(seconds)
                        scores[case, dtype, way] = found
                        print(f"{case}, {dtype}, {way}: {seconds:.2f} s", file=sys.stderr)
        for case, job in jobs.items():
            report[case] = _case(case, options, took, rates, scores, counted(job, scorers["float32"]))
    print(json.dumps(report, indent=1))


def random_cmi_rm(towers: str, dtype: str) -> CMIRM:
    """Return a CMI-RM of the released shape with random weights, the same for every `dtype`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        audio_and_text = random_towers(TOWERS[towers], dtype)
        config = CMIRMConfig(dim=audio_and_text.dim, prompt_tf_depth=4, joint_tf_depth=1, skip_null=True)
        head = RewardHead(config).eval().requires_grad_(False)
    return CMIRM(config, head, audio_and_text)


def make_jobs(options: ScoringSpeed, folder: Path) -> dict[str, Job]:
    """Return what is scored in each case; a reference lies in `folder`."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    waves = noise(options.candidates, round(24_000 * options.seconds))
    path = folder / "reference.wav"
    write_clip(path, Clip(noise(1, round(24_000 * options.reference_seconds)), 24_000))
    text, lyrics, heard = "pop " * _WORDS[0], "la " * _WORDS[1], read_clip(path).waveform[0]
    jobs = {
        "text": Job(waves, text, "", None),
        "lyrics": Job(waves, text, lyrics, None),
        "reference": Job(waves, text, lyrics, (heard, path)),
    }
    return {case: jobs[case] for case in split_names(options.cases)}


def timed(work: Callable[[], torch.Tensor], device: torch.device) -> tuple[float, torch.Tensor]:
    """Return the seconds that some work takes, and what it gives."""
    began = time.perf_counter()
    found = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, found


def counted(job: Job, scorer: CMIRMScorer) -> float:
    """Return the FLOP of our scoring, done in this thread alone so that all of it is counted."""
    scorer.forget()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = count_flop(lambda: job.ours(scorer))
    torch.set_num_threads(threads)
    return found


def _case(
    case: str,
    options: ScoringSpeed,
    took: dict[tuple[str, str, str], list[float]],
    rates: dict[str, list[float]],
    scores: dict[tuple[str, str, str], torch.Tensor],
    flop: float,
) -> dict[str, Any]:
    """Return what was found of one case; `InputError` if float32 scores differ."""
    dtypes = split_names(options.dtypes)
    base = took[case, dtypes[0], "theirs"]
    found: dict[str, Any] = {"gflop": round(flop / 1e9, 1)}
    for dtype in dtypes:
        ours, theirs = took[case, dtype, "ours"], took[case, dtype, "theirs"]
        apart = float((scores[case, dtype, "ours"] - scores[case, dtype, "theirs"]).abs().max())
        if dtype == "float32" and apart > _AGREEMENT:
            raise InputError(f"{case}: the two ways differ by {apart}, so their times mean nothing")
        rate = statistics.median(rates[dtype])
        found[dtype] = {
            "seconds": {"ours": over_turns(ours), "theirs": over_turns(theirs)},
            "times_as_fast": ratios(theirs, ours),
            f"times_as_fast_as_theirs_in_{dtypes[0]}": ratios(base, ours),
            "largest_difference": apart,
            "gflop_per_s": over_turns([flop / each / 1e9 for each in ours]),
            "machine_gflop_per_s": round(rate / 1e9, 1),
            "of_the_machine": over_turns([flop / each / rate for each in ours]),
        }
    return found


if __name__ == "__main__":
    run(main, ScoringSpeed)
