"""The server of `scaling.browse`: one page, its script, the audio of the pools, and marks of favourites.

    GET /                      the page; the address says what is shown (`scaling.browsing.selection.Query`)
    GET /audio/POOL/SHA256     a clip, or a range of it
    GET /references/POOL/NAME  a reference clip
    GET /favourites            {prompt id: candidate} for each pool
    PUT /favourites            {"pool", "prompt_id", "candidate", "sha256", "favourite"}; the reply is that of GET

Only files that rows of the pools name are read. A page of another site can neither read replies, whatever name it has
given to this machine (the Host header must be a local one), nor mark anything (browsers ask before a PUT from
elsewhere, and nothing allows it).
"""

from collections.abc import Sequence
from importlib.resources import files
from mimetypes import guess_type
from threading import Lock
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from music.errors import InputError
from music.texts import parse_json
from scaling.browsing.favourites import mark, read_favourites
from scaling.browsing.listing import Listing
from scaling.browsing.page import Shelf
from scaling.browsing.selection import Query, select

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_KEPT = {"Cache-Control": "private, max-age=604800, immutable"}


def create_app(listings: Sequence[Listing]) -> Starlette:
    """Return the server of one pool, or of two side by side."""
    shelf = Shelf(listings)
    marking = Lock()
    script = files("scaling").joinpath("templates", "browse.js").read_text(encoding="utf-8")

    def page(request: Request) -> Response:
        query = Query.parse(request.query_params, list(shelf.columns))
        favourites = [_favourites(listing) for listing in listings]
        return HTMLResponse(shelf.page(query, select(listings, favourites, query), favourites))

    def page_script(_: Request) -> Response:
        return Response(script, media_type="text/javascript")

    def audio(request: Request) -> Response:
        listing = _listing(request.path_params["pool"])
        candidate = listing.audio.get(request.path_params["sha256"])
        if candidate is None:  # so that no path can lead anywhere else
            raise HTTPException(404, "there is no such clip")
        listing.pool.verify([candidate])
        return FileResponse(listing.pool.path(candidate), media_type="audio/flac", headers=_KEPT)

    def reference(request: Request) -> Response:
        path = _listing(request.path_params["pool"]).references.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404, "there is no such reference")
        return FileResponse(path, media_type=guess_type(path.name)[0], headers=_KEPT)

    def favourites(_: Request) -> Response:
        return JSONResponse([_marks(listing) for listing in listings])

    async def mark_favourite(request: Request) -> Response:
        return await run_in_threadpool(marked, await request.body())

    def marked(body: bytes) -> Response:
        asked = _asked(body)
        listing = _listing(asked["pool"])
        row = listing.rows.get((asked["prompt_id"], asked["candidate"]))
        if row is None or listing.candidates[row].sha256 != asked["sha256"]:
            raise HTTPException(404, "there is no such candidate")
        listing.pool.verify([listing.candidates[row]])
        with marking:
            mark(listing.pool.folder, listing.candidates[row], asked["favourite"])
        return JSONResponse([_marks(one) for one in listings])

    def _listing(number: int) -> Listing:
        if not 0 <= number < len(listings):
            raise HTTPException(404, "there is no such pool")
        return listings[number]

    routes = [
        Route("/", page),
        Route("/browse.js", page_script),
        Route("/audio/{pool:int}/{sha256}", audio),
        Route("/references/{pool:int}/{name}", reference),
        Route("/favourites", favourites),
        Route("/favourites", mark_favourite, methods=["PUT"]),
    ]
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False)]
    return Starlette(
        routes=routes, middleware=[Middleware(_Headers), *guards], exception_handlers={InputError: _told}
    )


def _favourites(listing: Listing) -> dict[str, int]:
    """Return the rows of the favourites of a pool by prompt id, those with other audio left out."""
    rows = {}
    for prompt_id, favourite in read_favourites(listing.pool.folder).items():
        row = listing.rows.get((prompt_id, favourite.candidate))
        if row is not None and favourite.is_of(listing.candidates[row]):
            rows[prompt_id] = row
    return rows


def _marks(listing: Listing) -> dict[str, int]:
    return {prompt_id: listing.candidates[row].candidate for prompt_id, row in _favourites(listing).items()}


def _asked(body: bytes) -> dict[str, Any]:
    kinds = {"pool": int, "prompt_id": str, "candidate": int, "sha256": str, "favourite": bool}
    try:
        asked = parse_json(body)
    except ValueError as error:
        raise HTTPException(400, "expected JSON") from error
    if not isinstance(asked, dict) or any(type(asked.get(name)) is not kind for name, kind in kinds.items()):
        raise HTTPException(400, f"expected {', '.join(kinds)}")
    return asked


def _told(_: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 400)


class _Headers:
    """Adds headers to every reply."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
