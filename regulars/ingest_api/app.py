"""The routes of the ingest API."""

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from ingest.answer import Answer
from ingest.spool.file import Kind
from ingest.storage.connections import conninfo
from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from ingest.tracker import Tracker
from regulars.ingest_api import openapi as contract
from regulars.ingest_api.bodies import (
    AnyBody,
    Body,
    CheckoutBody,
    ErasureBody,
    Events,
    PersonBody,
    VisitBody,
    parse,
    parse_one,
    read_body,
)
from regulars.ingest_api.metrics import Metrics
from regulars.ingest_api.people import People
from regulars.ingest_api.readiness import database_answers, spool_opens
from regulars.web.head import Head
from regulars.web.problems import Problem, answer_exception, answer_problem
from regulars.web.readiness import Readiness
from regulars.web.request_log import RequestLog

_STATUSES = {"noted": 201, "spooled": 202, "failed": 202, "refused": 503}

_PEOPLE_AT_ONCE = 2  # connections besides the tracker's, and threads that no checkout waits for


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ingest API as an ASGI application. Raises SettingError if no token is set."""
    settings = settings or Settings.from_environment()
    tokens = [token.get_secret_value().encode() for token in settings.ingest_tokens]
    if not tokens:
        raise SettingError(
            "REGULARS_INGEST_TOKENS is not set: give at least one token of 16 characters or more, "
            "such as `openssl rand -hex 32` makes."
        )
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # In a thread, because it may start the embedded server.
        tracker = await run_in_threadpool(Tracker, settings, observer=metrics.observe)
        metrics.watch(tracker.spool)
        app.state.tracker = tracker
        app.state.people = await run_in_threadpool(People, settings, spool=tracker.spool)
        app.state.for_people = CapacityLimiter(_PEOPLE_AT_ONCE)
        where = await run_in_threadpool(conninfo, settings)
        metrics.watch_refresh(where)
        app.state.readiness = Readiness(
            {"database": partial(database_answers, where), "spool": partial(spool_opens, tracker.spool)}
        )
        try:
            yield
        finally:
            await run_in_threadpool(tracker.close)

    app = FastAPI(
        title="Regulars",
        version="1",
        description="Track checkouts and visits; report and erase what Regulars holds about a person. Every request is "
        "idempotent.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )

    def authorize(
        given: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
    ) -> None:
        shown = given.credentials.encode() if given else b""
        # Every token is compared, so that the time taken reveals neither a near match nor their number.
        if not any([hmac.compare_digest(shown, token) for token in tokens]):  # noqa: C419
            raise Problem(401, "Send a token: Authorization: Bearer <token>.", headers={"WWW-Authenticate": "Bearer"})

    @app.post(
        "/api/ingest/checkouts",
        dependencies=[Depends(authorize)],
        responses=contract.CHECKOUT_ANSWERS,
        openapi_extra=contract.request_body(CheckoutBody, plural="checkouts", example=contract.CHECKOUT),
    )
    async def checkouts(request: Request) -> Response:
        """Match an order, or up to a hundred, with its customer."""
        events = _parse(await read_body(request), CheckoutBody, "checkout", metrics)
        tracker: Tracker = request.app.state.tracker
        return await _process(events, tracker.track, tracker.track_many)

    @app.post(
        "/api/ingest/visits",
        dependencies=[Depends(authorize)],
        responses=contract.VISIT_ANSWERS,
        openapi_extra=contract.request_body(VisitBody, plural="visits", example=contract.VISIT),
    )
    async def visits(request: Request) -> Response:
        """Record that a shop's link was opened. A checkout with the same visit_id completes the visit."""
        events = _parse(await read_body(request), VisitBody, "visit", metrics)
        tracker: Tracker = request.app.state.tracker
        return await _process(events, tracker.visit, tracker.visit_many)

    @app.post(
        "/api/ingest/erasures",
        dependencies=[Depends(authorize)],
        responses=contract.ERASURE_ANSWERS,
        openapi_extra=contract.person_body(ErasureBody, example=contract.ERASURE),
    )
    async def erasures(request: Request) -> Response:
        """Erase a person from a shop: phone, e-mail and name are removed, orders and totals stay."""
        people: People = request.app.state.people
        return await _of_a_person(request, ErasureBody, people.erase)

    @app.post(
        "/api/ingest/access-requests",
        dependencies=[Depends(authorize)],
        responses=contract.ACCESS_ANSWERS,
        openapi_extra=contract.person_body(PersonBody, example=contract.PERSON),
    )
    async def access_requests(request: Request) -> Response:
        """Report everything that is held about a person of a shop, for the person who asks."""
        people: People = request.app.state.people
        return await _of_a_person(request, PersonBody, people.report)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """The process is alive. Without the database it still takes events, and spools them."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> Response:
        """Whether the database answers and the spool opens."""
        readiness: Readiness = request.app.state.readiness
        return await readiness.answer()

    @app.get("/metrics", include_in_schema=False)
    def show_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, answer_exception)
    paths = [route.path for route in app.routes if hasattr(route, "path")]
    app.add_middleware(Head)
    app.add_middleware(RequestLog, paths=paths, logger="regulars.ingest_api")
    return app


def _parse(body: bytes, model: type[Body], kind: Kind, metrics: Metrics) -> Events[Body]:
    try:
        parsed = parse(body, model, plural=f"{kind}s")
    except Problem:
        metrics.count_invalid(kind)
        raise
    metrics.count_invalid(kind, events=sum(isinstance(event, list) for event in parsed.events))
    return parsed


async def _of_a_person(request: Request, model: type[AnyBody], call: Callable[[AnyBody], bytes]) -> Response:
    body = parse_one(await read_body(request), model)
    content = await run_sync(call, body, limiter=request.app.state.for_people)
    # Personal data must not stay in a cache on the way.
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _process(
    parsed: Events[Body],
    one: Callable[[Body], Answer],
    many: Callable[[Sequence[Body]], list[Answer]],
) -> Response:
    read = [event for event in parsed.events if not isinstance(event, list)]
    if not parsed.is_batch:
        answer = await run_in_threadpool(one, read[0])
        status = _STATUSES.get(answer.outcome, 200)
        if status == 503:
            raise Problem(503, contract.NOT_STORED)
        return JSONResponse(_content(answer), status_code=status)
    answered = iter(await run_in_threadpool(many, read))
    # Valid and invalid events, in the order of the batch.
    answers = [
        {"outcome": "invalid", "errors": event} if isinstance(event, list) else _content(next(answered))
        for event in parsed.events
    ]
    if any(answer["outcome"] == "refused" for answer in answers):
        raise Problem(503, contract.NOT_STORED, members={"answers": answers})
    return JSONResponse({"answers": answers}, status_code=200 if len(read) == len(answers) else 207)


def _content(answer: Answer) -> dict[str, object]:
    return {
        "outcome": answer.outcome,
        "customer_id": answer.customer_id and str(answer.customer_id),
        "visit_id": answer.visit_id and str(answer.visit_id),
        # The reason of a refused event names a path on the disk, which is not the caller's business.
        "reason": None if answer.outcome == "refused" else answer.reason,
    }
