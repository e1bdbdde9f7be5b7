"""Build a small study from the pool of ``make demo`` and serve it on this machine.

    python -m experiments.ab_test demo

The systems are the best of ten, of three and of one candidate, chosen by the lab's reward model. The same command
again continues with the same study and its answers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.ab_test.building import build
from experiments.ab_test.building.config import Build
from experiments.ab_test.serving import serve
from experiments.ab_test.study import BLINDED, LISTENING, STUDY
from music.errors import InputError
from music.paths import exists, is_folder


@dataclass(frozen=True)
class Demo:
    """Build a small study from the lab's pool and serve it.

    Parameters
    ----------
    pool
        Pool with ten candidates of each prompt.
    output
        Folder for the study.
    host
        Address to listen on; 0.0.0.0 for every address of this machine.
    port
        Port to listen on; 0 for any that is free.
    """

    LIBRARIES: ClassVar = (LISTENING,)

    pool: Path = Path("runs/demo/pool")
    output: Path = Path("runs/listening_demo")
    host: str = "127.0.0.1"
    port: int = 8000


def main(options: Demo) -> None:
    """Build the study unless it is there, then serve it until Ctrl-C."""
    blinded = options.output / BLINDED
    if not exists(blinded / STUDY):
        if not is_folder(options.pool):
            raise InputError(f"there is no pool {options.pool}: `make demo` makes it in some minutes")
        systems = ",".join(f"top-{n}={options.pool}:{n}" for n in (10, 3, 1))
        build.main(
            Build(systems, options.output, sample=8, trials_per_rater=8, minimum_listening=2.0, repeats=1)
        )
    print(f"Answers, when there are some: python -m experiments.ab_test export {options.output}")
    print(f"What they say:                python -m experiments.ab_test analyze {options.output}", flush=True)
    serve.main(serve.Serve([blinded], host=options.host, port=options.port))
