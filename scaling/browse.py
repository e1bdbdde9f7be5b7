"""Listen to the candidates of a pool in a browser, and mark favourites.

    python -m scaling.browse runs/demo
    python -m scaling.browse runs/musicgen,runs/stable_audio --port 8080

Open the address that it prints; Ctrl-C ends it. The page lists all candidates of all prompts with every score in the
pool: sort them by any metric or the reward, filter them by text, score or favourites, and hear them by mouse or keys.
Two pools stand side by side, prompt by prompt. A star makes a candidate the favourite of its prompt
(``favourites.jsonl`` in the pool), which ``scaling/best_of_n.py --favourites true`` takes into ``best/``.

The server listens on this machine only. On another one, bring it to yours by
``ssh -L 8000:127.0.0.1:8000 MACHINE``. It reads pools once: start it again to see what was added since.
"""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from music.command import run
from music.errors import InputError
from scaling.browsing.listing import read_listing

_HOST = "127.0.0.1"
_PORTS = range(8000, 8100)
_FAREWELL = 1  # s that audio on its way has when the server ends


@dataclass(frozen=True)
class Browse:
    """Listen to the candidates of a pool in a browser, and mark favourites.

    Attributes
    ----------
    pools
        A pool, or a run folder that holds one; two with a comma between are compared.
    weights
        What the reward is made of, say musicality=0.5,alignment=0.5; by default that of the run that made the pool.
    port
        Port to listen on, 0 for any; by default 8000 or the next that is free.
    """

    POSITIONALS: ClassVar = ("pools",)

    pools: str
    weights: str | None = None
    port: int | None = None

    def __post_init__(self) -> None:
        """Refuse other than one or two different pools."""
        resolved = {folder.resolve() for folder in self.folders}
        if not 1 <= len(self.folders) <= 2 or len(resolved) < len(self.folders):
            raise InputError(f"expected one pool or two different ones (A,B), got {self.pools!r}")

    @property
    def folders(self) -> list[Path]:
        """The folders that are named."""
        return [Path(name.strip()) for name in self.pools.split(",") if name.strip()]


def main(config: Browse) -> None:
    """Read the pools and serve them until Ctrl-C."""
    import uvicorn

    from scaling.browsing.server import create_app

    listings = [read_listing(folder, config.weights) for folder in config.folders]
    app = create_app(listings)
    with _listening(config.port) as listening:
        count = sum(len(listing.candidates) for listing in listings)
        port = listening.getsockname()[1]
        print(f"http://{_HOST}:{port}/ plays {count} candidates; Ctrl-C ends it", flush=True)
        options = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_FAREWELL,
        )
        uvicorn.Server(options).run(sockets=[listening])


def _listening(port: int | None) -> socket.socket:
    refusal: Exception | None = None
    for number in _PORTS if port is None else [port]:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_HOST, number))
            listening.listen()
            return listening
        except (OSError, OverflowError) as error:
            listening.close()
            refusal = error
    raise InputError(f"cannot listen on {_HOST} port {number}: {refusal}; choose another --port") from refusal


if __name__ == "__main__":
    run(main, Browse)
