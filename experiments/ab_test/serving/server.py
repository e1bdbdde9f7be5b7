"""The server of listening tests: pages, audio, and a small API in JSON.

    PUT /s/STUDY/api/me                 take part: {"consent": true, "origin": {...}}
    GET /s/STUDY/api/me                 where I am, and my next turn
    PUT /s/STUDY/api/me/sound_check     what I heard in the headphone check
    PUT /s/STUDY/api/me/practised       I have practised: show me my first turn
    PUT /s/STUDY/api/me/turns/POSITION  my answer; sent again, it changes nothing
    GET /s/STUDY/api/study              what the first pages need
    GET /admin/STUDY/answers, /raters   JSON Lines, for the makers

Raters show the secret of their browser, ``Authorization: Bearer`` and 64 hex digits; makers show the token of the
server. A reply to a rater holds what they may see now and no more. Text from raters is stored as it comes and only
ever shown as text. Nothing is loaded from elsewhere.
"""

import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.ab_test.pages import PAGE_FILES, study_page
from experiments.ab_test.serving.answers import Answer, Joining, SoundCheck
from experiments.ab_test.serving.database import Database, Refused, State
from experiments.ab_test.serving.shown import described_turn, introduction
from experiments.ab_test.study import AUDIO, Study

LARGEST_BODY = 64 * 1024  # bytes
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_KINDS = {"flac": "audio/flac", "mp3": "audio/mpeg", "opus": "audio/ogg"}


def _known(study: str, request: Request) -> Study:
    if study not in request.app.state.studies:
        raise HTTPException(404, "there is no such study")
    return request.app.state.studies[study]


def _secret(authorization: Annotated[str, Header()] = "") -> str:
    kind, _, secret = authorization.partition(" ")
    if kind != "Bearer" or len(secret) != 64 or set(secret) - set("0123456789abcdef"):
        raise HTTPException(401, "this needs the secret of a rater: 64 hex digits")
    return secret


Known = Annotated[Study, Depends(_known)]
Secret = Annotated[str, Depends(_secret)]
Position = Annotated[int, PathParameter(ge=0, lt=1 << 31)]  # what an integer of any database holds


def create_app(folders: Mapping[str, Path], database: Database, admin_token: str) -> FastAPI:
    """Return the server of some studies.

    Parameters
    ----------
    folders
        Blinded folders of the studies, by id.
    database
        Database of these studies.
    admin_token
        Token that makers show.
    """
    studies = database.studies
    app = FastAPI(title="listening test", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Guard)
    app.state.studies = studies

    @app.exception_handler(Refused)
    def refuse(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status)

    @app.exception_handler(HTTPException)
    def fail(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]  # without the input, which may be long or markup
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)

    def makers_only(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {admin_token}".encode()):
            raise HTTPException(401, "this needs the token of the server")

    @app.get("/")
    def front() -> Response:
        if len(studies) == 1:
            return RedirectResponse(f"/s/{next(iter(studies))}/")
        lines = [f"{study.settings.title}: /s/{name}/" for name, study in studies.items()]
        return PlainTextResponse("\n".join(lines) + "\n")

    @app.get("/s/{study}/")
    def page(study: Known) -> Response:
        return Response(study_page(study.settings.title), media_type="text/html")

    @app.get("/s/{study}/page/{name}")
    def page_file(study: Known, name: str) -> Response:
        if name not in PAGE_FILES:
            raise HTTPException(404, "there is no such file")
        return FileResponse(PAGE_FILES[name], headers={"Cache-Control": "no-cache"})

    @app.get("/s/{study}/audio/{name}")
    def audio(study: Known, name: str) -> Response:
        if name not in study.files:  # so that no path can lead anywhere else
            raise HTTPException(404, "there is no such clip")
        kind = _KINDS[name.rpartition(".")[2]]
        kept = {"Cache-Control": "private, max-age=604800, immutable"}
        return FileResponse(folders[study.id] / AUDIO / name, media_type=kind, headers=kept)

    @app.get("/s/{study}/api/study")
    def first_pages(study: Known) -> dict[str, Any]:
        return introduction(study)

    @app.put("/s/{study}/api/me")
    def join(study: Known, secret: Secret, joining: Joining) -> dict[str, Any]:
        database.join(study.id, secret, joining.origin)
        return described(study, database.state(study.id, secret))

    @app.get("/s/{study}/api/me")
    def me(study: Known, secret: Secret) -> dict[str, Any]:
        return described(study, database.state(study.id, secret))

    @app.put("/s/{study}/api/me/sound_check")
    def sound_check(study: Known, secret: Secret, check: SoundCheck) -> dict[str, Any]:
        return described(study, database.sound_check(study.id, secret, check.heard))

    @app.put("/s/{study}/api/me/practised")
    def practised(study: Known, secret: Secret) -> dict[str, Any]:
        return described(study, database.practised(study.id, secret))

    @app.put("/s/{study}/api/me/turns/{position}")
    def answer(study: Known, secret: Secret, position: Position, given: Answer) -> dict[str, Any]:
        return described(study, database.answer(study.id, secret, position, given))

    @app.get("/admin/{study}/answers", dependencies=[Depends(makers_only)])
    def answers(study: Known) -> Response:
        return _lines(database.answers(study.id))

    @app.get("/admin/{study}/raters", dependencies=[Depends(makers_only)])
    def raters(study: Known) -> Response:
        return _lines(database.raters(study.id))

    return app


def described(study: Study, state: State) -> dict[str, Any]:
    """Return what a rater is told of where they stand."""
    done = state.position == state.total
    own_code = state.rater[:8].upper()
    return {
        "rater": state.rater,
        "position": state.position,
        "total": state.total,
        "sound_checked": state.sound_checked,
        "practised": state.practised,
        "turn": None if state.turn is None else described_turn(study, state.turn),
        "following": [] if state.following is None else list(study.shown(state.following)),
        "code": (study.settings.completion_code or own_code) if done else "",
        "prolific": done and bool(study.settings.completion_code),
    }


def _lines(rows: list[dict[str, Any]]) -> Response:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return Response(text, media_type="application/jsonl")


class _Guard:
    """Adds headers to every reply, and refuses bodies above `LARGEST_BODY`, whether or not they state their length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if len(body) > LARGEST_BODY:
                refusal = JSONResponse({"error": "that is too much text"}, 413, {"Connection": "close"})
                return await refusal(scope, receive, send_with_headers)
        replies = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(replies, None) or await receive()

        return await self._app(scope, replay, send_with_headers)
