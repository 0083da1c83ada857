"""Data subjects' rights over HTTP: access to what is held about a person, and erasure."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from ingest.privacy.access import answer_access_request
from ingest.privacy.erasure import Erased, erase
from ingest.privacy.erasure_lock import ErasureBusy
from ingest.privacy.person import AmbiguousShop, UnknownPerson
from ingest.privacy.phone_hash import required_key
from ingest.spool.file import Spool, SpoolRefused
from ingest.storage.budget import BudgetedConnection
from ingest.storage.connections import conninfo
from ingest.storage.errors import DatabaseError, InputError, SettingError, UnknownShop
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings
from regulars.ingest_api.bodies import ErasureBody, PersonBody
from regulars.web.problems import Problem

SECONDS = 30
"""How long the database may take. The connection is not the tracker's, so no checkout waits for it."""

_OPTIONS = f"-c statement_timeout={SECONDS * 1000} -c client_connection_check_interval=1000 -c TimeZone=UTC"

_NOT_NOW = "The database did not answer in time. The request may not have been carried out: send it again."

_DISK = (
    "The spool on this machine's disk can't be read or written. Fix that and send the request again: it is idempotent."
)

_SOON = {"Retry-After": "5"}

_MAY_NOT = (
    "The ingest API's database user may only check out. Start the ingest API with a DATABASE_URL of the user that "
    "refreshes, or use the command `regulars`."
)


class People:
    """Each method returns JSON or raises Problem. It blocks, and opens a connection of its own: call it in a thread."""

    def __init__(self, settings: Settings, *, spool: Spool) -> None:
        self._settings = settings
        self._conninfo = conninfo(settings)
        self._spool = spool

    def erase(self, body: ErasureBody) -> bytes:
        with self._connection() as connection:
            done = erase(
                connection,
                shop=body.shop,
                phone=body.phone,
                key=required_key(self._settings),
                spool=self._spool,
                by=body.by,
            )
        return _as_json(_content(done))

    def report(self, body: PersonBody) -> bytes:
        with self._connection() as connection:
            return _as_json(
                answer_access_request(
                    connection,
                    shop=body.shop,
                    phone=body.phone,
                    key=self._settings.erasure_key,
                    spool=self._spool,
                )
            )

    @contextmanager
    def _connection(self) -> Iterator[BudgetedConnection]:
        where = make_conninfo(
            self._conninfo, connect_timeout=5, options=_OPTIONS, application_name="regulars-ingest-api"
        )
        try:
            with BudgetedConnection.connect(where, autocommit=True) as connection:
                connection.deadline = time.monotonic() + SECONDS
                require_schema(connection)
                yield connection
        except UnknownShop:
            raise _problem(404, "/shop", "is no shop's slug or id") from None
        except AmbiguousShop as error:
            raise _problem(422, "/shop", "is the slug of several shops", detail=str(error)) from None
        except UnknownPerson as error:
            raise _problem(404, "/phone", "matches no customer of this shop", detail=str(error)) from None
        except InputError as error:
            raise _problem(422, "/phone", "can't be read in the shop's country", detail=str(error)) from None
        except SettingError as error:
            # The message names the setting and never holds its value.
            raise Problem(503, str(error)) from None
        except ErasureBusy as error:
            raise Problem(503, str(error), headers=_SOON) from None
        except SpoolRefused:
            raise Problem(503, _DISK) from None
        except psycopg.errors.InsufficientPrivilege:
            raise Problem(503, _MAY_NOT) from None
        except (psycopg.OperationalError, DatabaseError):
            raise Problem(503, _NOT_NOW, headers=_SOON) from None


def _problem(status: int, pointer: str, why: str, *, detail: str | None = None) -> Problem:
    return Problem(
        status, detail or f"The field {pointer[1:]} {why}.", errors=[{"pointer": f"#{pointer}", "detail": why}]
    )


def _content(done: Erased) -> dict[str, Any]:
    return {
        "erased_at": done.erased_at.isoformat(),
        "erased_by": done.erased_by,
        "was_erased": done.was_erased,
        "orders": done.orders,
        "events": done.events,
        "unresolved": done.unresolved,
    }


def _as_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, default=str).encode()
