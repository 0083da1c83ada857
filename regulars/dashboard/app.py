"""The dashboard as one ASGI application: the API, the pages, and what all responses share."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings
from regulars.dashboard.api import routes as api
from regulars.dashboard.api import session
from regulars.dashboard.api.cors import ApiCors
from regulars.dashboard.api.openapi import TAGS, Described
from regulars.dashboard.errors import (
    BadCursor,
    NoSuchCustomer,
    NoSuchShop,
    NotCountedYet,
    NotLoaded,
    ShopNotNamed,
    TooManyAtOnce,
)
from regulars.dashboard.language.choice import Languages
from regulars.dashboard.pages import files, numbers
from regulars.dashboard.pages import routes as pages
from regulars.dashboard.pages.error_pages import notice
from regulars.dashboard.parameters import require_each_once
from regulars.dashboard.queries import workbook
from regulars.dashboard.queries.reader import Reader
from regulars.dashboard.security.tokens import Keys, NotSignedIn
from regulars.dashboard.static_files import VersionedFiles
from regulars.web.head import Head
from regulars.web.headers import Headers
from regulars.web.problems import ParameterError, Problem, answer_exception, answer_problem
from regulars.web.readiness import Readiness
from regulars.web.request_log import RequestLog

_ROUTERS = (api.router, session.router, numbers.router, pages.router, files.router)

STATIC = Path(__file__).with_name("static")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # No referrer to other hosts; one to our own, because without it a browser also hides a form's Origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# A workbook is a compressed archive already.
_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, workbook.MEDIA_TYPE)

_RETRY_AFTER = {"Retry-After": "5"}
_BROKEN = Problem(500, "Something broke in the dashboard.")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API and the pages. Raises SettingError where no key is set."""
    settings = settings or Settings.from_environment()
    reader = Reader(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Off the event loop: it may start the embedded server.
        await run_in_threadpool(reader.open)
        try:
            yield
        finally:
            await run_in_threadpool(reader.close)

    app = Described(
        title="Regulars",
        version="1",
        description="Who comes back to a shop, which link brought them, and what they are worth.",
        lifespan=lifespan,
        dependencies=[Depends(require_each_once)],
        # The operation's name in every generated client.
        generate_unique_id_function=lambda route: route.name,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.keys = Keys(settings)
    app.state.reader = reader

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """The process is alive, with the database or without."""
        return {"status": "ok"}

    readiness = Readiness({"database": reader.can_answer})

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        """Whether an owner's request would succeed now."""
        return await readiness.answer()

    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", VersionedFiles(directory=STATIC), name="static")

    for kind in (RegularsError, RequestValidationError):
        app.add_exception_handler(kind, _handle_refusal)
    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_middleware(Languages)
    app.add_middleware(Head)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6, exclude_content_types=_COMPRESSED)
    app.add_middleware(Headers, headers=SECURITY_HEADERS)
    app.add_middleware(RequestLog, paths=_paths(app), logger="regulars.dashboard", on_exception=_BROKEN)
    if settings.cors_origins:
        # The outermost, so that pages of these origins can also read the answer to an unexpected error.
        app.add_middleware(ApiCors, origins=settings.cors_origins)
    return app


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    """Errors that the framework itself raises. A person who asks for a missing page gets a page."""
    is_missing = isinstance(error, HTTPException) and error.status_code == 404
    if is_missing and not request.url.path.startswith("/api/") and "text/html" in request.headers.get("Accept", ""):
        return await run_in_threadpool(notice, request, status=404, name="missing")
    return await answer_exception(request, error)


async def _handle_refusal(_: Request, error: Exception) -> Response:
    return _as_problem(error).response()


def _as_problem(error: Exception) -> Problem:
    match error:
        case NotSignedIn():
            challenge = "Bearer" if error.reason == "missing" else 'Bearer error="invalid_token"'
            return Problem(401, str(error), headers={"WWW-Authenticate": challenge})
        case NoSuchShop() | NoSuchCustomer():
            return Problem(404, str(error))
        case ShopNotNamed():
            return _unreadable({"parameter": "shop", "detail": "is missing"}, str(error), shops=error.slugs)
        case BadCursor():
            return _unreadable({"parameter": "cursor", "detail": str(error)})
        case RequestValidationError():
            return Problem(422, "The query can't be read.", errors=_parameter_errors(error.errors()))
        case TooManyAtOnce():
            return Problem(429, str(error), headers={"Retry-After": "2"})
        case NotLoaded() | NotCountedYet():
            return Problem(503, str(error), headers=_RETRY_AFTER)
    return _BROKEN


def _unreadable(error: ParameterError, detail: str = "The query can't be read.", **members: Sequence[str]) -> Problem:
    return Problem(422, detail, errors=[error], members=members)


# Pydantic's own messages may repeat a part of the value.
_REASONS = {
    "less_than_equal": "is more than {le}",
    "greater_than_equal": "is less than {ge}",
    "string_too_long": "is longer than {max_length} characters",
    "literal_error": "is not one of {expected}",
    "value_error": "{error}",
    "uuid_parsing": "is not a UUID",
    "missing": "is missing",
}


def _parameter_errors(errors: Sequence[Mapping[str, Any]]) -> list[ParameterError]:
    found: dict[tuple[str, str], ParameterError] = {}
    for error in errors:
        name = str(error["loc"][1]) if len(error["loc"]) > 1 else "cursor"
        if error["type"] == "extra_forbidden":
            # Its name is not repeated either, because it may be anything.
            wrong = ParameterError(parameter="?", detail="is not known")
        else:
            reason = _REASONS.get(error["type"], "can't be read").format(**error.get("ctx", {}))
            wrong = ParameterError(parameter=name, detail=reason)
        found[wrong["parameter"], wrong["detail"]] = wrong
    return list(found.values())


def _paths(app: FastAPI) -> list[str]:
    """The paths of all routes. FastAPI doesn't list an included router's routes among the application's own."""
    routes = [route for router in (app, *_ROUTERS) for route in router.routes]
    return [*(route.path for route in routes if hasattr(route, "path")), "/static/{file:path}"]
