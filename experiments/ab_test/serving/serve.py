"""Serve studies to raters.

    python -m experiments.ab_test serve runs/listening_test/blinded
    python -m experiments.ab_test serve A/blinded B/blinded \
        --database postgresql+psycopg://user@host/answers --host 0.0.0.0 --port 80

Only the blinded folder is read; the key need not be on the machine. Answers go into ``answers.sqlite`` beside the first
folder, or into ``--database``. Before the world sees it, put it behind a proxy that speaks HTTPS.

The makers fetch ``/admin/STUDY/answers`` and ``/raters`` with ``Authorization: Bearer`` and the token in the
environment variable AB_TEST_ADMIN_TOKEN; without one, a token is drawn and printed.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments.ab_test.study import LISTENING, check_audio, read_study
from music.command import refuse_below_one
from music.errors import InputError

TOKEN = "AB_TEST_ADMIN_TOKEN"
_SHORTEST_TOKEN = 16
_KEPT_ALIVE = 75  # s: longer than it takes to listen, so that few answers find their connection closing


@dataclass(frozen=True)
class Serve:
    """Serve listening tests to raters.

    Parameters
    ----------
    studies
        Blinded folders of the studies.
    database
        Database for the answers, as SQLAlchemy writes addresses; a file beside the first folder by default.
    host
        Address to listen on; 0.0.0.0 for every address of this machine.
    port
        Port to listen on; 0 for any that is free.
    most_raters
        Most raters of each study, so that nobody can flood it; those who have not finished count for a day.
    """

    POSITIONALS: ClassVar = ("studies",)
    LIBRARIES: ClassVar = (LISTENING,)

    studies: list[Path]
    database: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    most_raters: int = 1_000

    def __post_init__(self) -> None:
        """Refuse a study for nobody, and an address that would be all of this machine's unasked."""
        refuse_below_one(self, "most_raters")
        if not self.host.strip():
            raise InputError(
                "--host must be an address, such as 127.0.0.1, or 0.0.0.0 for all of this machine"
            )


def main(options: Serve) -> None:
    """Open the database and serve until Ctrl-C."""
    import uvicorn

    from experiments.ab_test.serving.database import Database, database_address
    from experiments.ab_test.serving.server import create_app

    folders: dict[str, Path] = {}
    for folder in options.studies:
        study = read_study(folder)
        if study.id in folders:
            raise InputError(f"{folder} and {folders[study.id]} are the same study")
        check_audio(folder, study)
        folders[study.id] = folder
    token = os.environ.get(TOKEN, "").strip() or secrets.token_urlsafe(24)
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()):
        raise InputError(f"{TOKEN} must have at least {_SHORTEST_TOKEN} characters, all of ASCII")
    address = database_address(options.database, options.studies[0])
    database = Database(address, folders, options.most_raters)
    listening = _listen(options.host, options.port)
    site = f"http://{options.host}:{listening.getsockname()[1]}"
    for name, study in database.studies.items():
        print(f"{study.settings.title}: {site}/s/{name}/", flush=True)
    if TOKEN not in os.environ:
        print(f"token for {site}/admin/: {token}", flush=True)
    app = create_app(folders, database, token)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=_KEPT_ALIVE
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        database.close()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(f"cannot listen on {host} port {port}: {error}; choose another --port") from error
    return listening
