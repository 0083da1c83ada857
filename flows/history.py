"""The history of refreshes, in `regulars.refreshes`: what ran, as of when its numbers hold, what went wrong."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from ingest.storage.connections import Connection

Mode = Literal["refresh", "partial", "rebuild"]
"""`refresh`: what changed. `partial`: that, and changed models in full. `rebuild`: everything."""


# This process's refreshes, and its parent's before a fork: `refresh_id` and `started_at`.
_begun: set[tuple[int, datetime]] = set()


@dataclass(frozen=True, slots=True)
class Refresh:
    """One row of the history. Times are UTC.

    `as_of`: everything committed before it is in the numbers. `reason`: why it is more than a refresh, unless somebody
    asked for that. `warnings`: what an operator should look at, one sentence each. `process_id` of `host` runs it;
    `step`: its present or last step.
    """

    refresh_id: int
    mode: Mode
    status: Literal["running", "succeeded", "failed", "abandoned"]
    fingerprint: str
    reason: str | None
    started_at: datetime
    as_of: datetime | None
    finished_at: datetime | None
    changes: int | None
    matched: int | None
    unreadable: int | None
    error: str | None
    warnings: list[str]
    host: str | None
    process_id: int | None
    step: str | None
    step_began_at: datetime | None

    @property
    def is_of_this_process(self) -> bool:
        # Both must hold: in a container that was started again, another process has the same host and process id.
        is_named = (self.host, self.process_id) == (socket.gethostname(), os.getpid())
        return is_named and (self.refresh_id, self.started_at) in _begun


def begin(connection: Connection, *, mode: Mode | None, fingerprint: str) -> Refresh:
    """Opens a refresh; call it under the lock. One that still says `running` was killed, and becomes `abandoned`.

    Without a `mode` it is a refresh if there was a success and no rebuild has failed since: only then may an
    incremental run build on the marts and deltas.
    """
    with connection.transaction():
        connection.execute(
            "update regulars.refreshes set status = 'abandoned', finished_at = clock_timestamp() "
            "where status = 'running'"
        )
        with connection.cursor(row_factory=class_row(Refresh)) as cursor:
            opened = cursor.execute(
                """
                with
                last_success as (
                    select * from regulars.refreshes where status = 'succeeded' order by refresh_id desc limit 1
                ),
                doubt as (
                    select
                        case
                            when count(*) = 0 then 'it is the first'
                            when
                                exists (
                                    select 1
                                    from regulars.refreshes as later
                                    where
                                        later.refresh_id > (select refresh_id from last_success)
                                        and later.mode = 'rebuild'
                                )
                                then 'a rebuild before it did not end well'
                        end as reason
                    from last_success
                )
                insert into regulars.refreshes (mode, fingerprint, reason, host, process_id)
                select
                    coalesce(%(mode)s, case when reason is null then 'refresh' else 'rebuild' end),
                    %(fingerprint)s,
                    case when %(mode)s::text is null then reason end,
                    %(host)s,
                    %(process_id)s
                from doubt
                returning *
                """,
                {
                    "mode": mode,
                    "fingerprint": fingerprint,
                    "host": socket.gethostname(),
                    "process_id": os.getpid(),
                },
            ).fetchone()
    if opened is None:
        raise RuntimeError("insert … returning returned no row")
    _begun.add((opened.refresh_id, opened.started_at))
    return opened


def change_mode(connection: Connection, refresh_id: int, mode: Mode, reason: str) -> Refresh:
    """Changes the mode of a refresh that has only begun, with the reason."""
    return _update(connection, refresh_id, "mode = %s, reason = %s", [mode, reason])


def enter(connection: Connection, refresh_id: int, step: str) -> None:
    """Records which step the refresh is at."""
    connection.execute(
        "update regulars.refreshes set step = %s, step_began_at = clock_timestamp() where refresh_id = %s",
        [step, refresh_id],
    )


def hold_as_of(connection: Connection, refresh_id: int, as_of: datetime) -> Refresh:
    """Records a later moment than the claim's as the one that the numbers hold for (UTC)."""
    return _update(connection, refresh_id, "as_of = %s", [as_of])


def claim(connection: Connection, refresh: Refresh, *, as_of: datetime | None, matched: int, unreadable: int) -> int:
    """Moves the changes into the batch; returns how many keys are there, those of a killed run included.

    `as_of`: when the matching began; a later order is left to the next refresh. A rebuild computes everything and only
    keeps the keys until it publishes.
    """
    with connection.transaction():
        (changes,) = connection.execute("select regulars.claim_changes()").fetchone() or (0,)
        connection.execute(
            "update regulars.refreshes set as_of = %s, changes = %s, matched = %s, unreadable = %s "
            "where refresh_id = %s",
            [as_of, changes, matched, unreadable, refresh.refresh_id],
        )
    return int(changes)


def succeed(connection: Connection, refresh_id: int, *, warnings: list[str]) -> Refresh:
    """Empties every delta and closes the refresh, in the transaction that published it."""
    deltas = connection.execute(
        "select relname from pg_class "
        "where relnamespace = 'regulars'::regnamespace and relkind = 'r' and relname like 'delta\\_%' "
        "and relname <> 'delta_offsets'"
    ).fetchall()
    for (name,) in deltas:
        # Not `truncate`, which waits for a backup to end; and a backup that has just begun would see the deltas empty
        # beside marts that don't have them yet.
        connection.execute(sql.SQL("delete from {}").format(sql.Identifier("regulars", name)))
    # Later models are compared with the hashes of this success.
    connection.execute(
        "delete from regulars.node_hashes where fingerprint <> "
        "(select fingerprint from regulars.refreshes where refresh_id = %s)",
        [refresh_id],
    )
    return _update(
        connection, refresh_id, "status = 'succeeded', warnings = %s, finished_at = clock_timestamp()", [warnings]
    )


def warn(connection: Connection, refresh_id: int, warnings: Sequence[str]) -> Refresh:
    """Adds warnings to a refresh."""
    return _update(connection, refresh_id, "warnings = warnings || %s", [list(warnings)])


def _update(connection: Connection, refresh_id: int, change: LiteralString, values: list[object]) -> Refresh:
    with connection.cursor(row_factory=class_row(Refresh)) as cursor:
        changed = cursor.execute(
            sql.SQL("update regulars.refreshes set {} where refresh_id = %s returning *").format(sql.SQL(change)),
            [*values, refresh_id],
        ).fetchone()
    if changed is None:
        raise RuntimeError("the refresh is not in the history")
    return changed


def fail(connection: Connection, refresh_id: int, error: str) -> None:
    """Closes the refresh as failed, unless it was published; batch and deltas stay for the next one."""
    connection.execute(
        "update regulars.refreshes set status = 'failed', error = %s, finished_at = clock_timestamp() "
        "where refresh_id = %s and status = 'running'",
        [error, refresh_id],
    )


_OLD = """
    refreshes.finished_at < %s
    and refreshes.status <> 'running'
    and refreshes.refresh_id < (
        select max(good.refresh_id) from regulars.refreshes as good where good.status = 'succeeded'
    )
"""


def count_old(connection: Connection, *, before: date) -> int:
    """How many refreshes `forget_old` would delete."""
    row = connection.execute(f"select count(*) from regulars.refreshes as refreshes where {_OLD}", [before]).fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def forget_old(connection: Connection, *, before: date) -> int:
    """Deletes the refreshes that ended before a day (UTC), but for the last success and what came after it: the next
    refresh depends on these. Returns how many."""
    return connection.execute(f"delete from regulars.refreshes as refreshes where {_OLD}", [before]).rowcount  # noqa: S608


def last(connection: Connection, *, succeeded: bool = False) -> Refresh | None:
    """The latest refresh, or the latest that succeeded; None if there was none."""
    with connection.cursor(row_factory=class_row(Refresh)) as cursor:
        return cursor.execute(
            "select * from regulars.refreshes where status = 'succeeded' or not %s order by refresh_id desc limit 1",
            [succeeded],
        ).fetchone()
