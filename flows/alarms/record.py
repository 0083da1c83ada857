"""The table of alarms: raised once for each cause, kept while it holds, cleared when it is gone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from flows.alarms.causes import CAUSES, Cause, Trouble
from ingest.storage.connections import Connection

_COLUMNS = "alarms.alarm_id, cause as cause_name, subject, what, shops, since, cleared_at"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A row of `regulars.alarms`. Times are UTC."""

    alarm_id: int
    cause_name: str
    subject: str
    what: str
    shops: list[str]
    since: datetime
    cleared_at: datetime | None

    @property
    def cause(self) -> Cause:
        """Its cause; only its name, if an earlier version raised the alarm."""
        return CAUSES.get(self.cause_name) or Cause(self.cause_name, self.cause_name.replace("_", " "), "")


def settle(connection: Connection, troubles: Sequence[Trouble], *, machine: str) -> None:
    """Raises an alarm for each trouble that has none, and clears those whose cause is gone. An open alarm keeps
    its beginning. The causes of another machine are left to that machine."""
    with connection.transaction():
        connection.execute(
            "select set_config('lock_timeout', '5s', true), set_config('statement_timeout', '30s', true)"
        )
        connection.execute("lock table regulars.alarms in share row exclusive mode")
        connection.execute(
            """
            update regulars.alarms set cleared_at = clock_timestamp()
            where
                cleared_at is null
                and (cause, subject) not in (select * from unnest(%(causes)s::text[], %(subjects)s::text[]))
                and (cause <> all(%(of_machines)s::text[]) or subject = %(machine)s)
            """,
            {
                "causes": [trouble.cause.name for trouble in troubles],
                "subjects": [trouble.subject for trouble in troubles],
                "of_machines": [cause.name for cause in CAUSES.values() if cause.is_of_machine],
                "machine": machine,
            },
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                insert into regulars.alarms (cause, subject, what, shops, since) values (%s, %s, %s, %s, %s)
                on conflict (cause, subject) where cleared_at is null
                do update set what = excluded.what, shops = excluded.shops
                where (alarms.what, alarms.shops) is distinct from (excluded.what, excluded.shops)
                """,
                [(each.cause.name, each.subject, each.what, list(each.shops), each.since) for each in troubles],
            )


def open_alarms(connection: Connection) -> list[Alarm]:
    """The alarms that hold, in the order in which they were raised."""
    return _select(connection, "where cleared_at is null")


def untold(connection: Connection, address: str) -> list[Alarm]:
    """The alarms that this address wasn't notified of, and those cleared since it was. `address`: its hash."""
    return _select(
        connection,
        "left join regulars.tellings on alarms.alarm_id = tellings.alarm_id and address = %s "
        "where clearing_told_at is null and (told_at is null) = (cleared_at is null)",
        address,
    )


def note_told(connection: Connection, alarms: Iterable[Alarm], address: str) -> None:
    """Notes that an address was notified of these alarms, raised or cleared."""
    connection.execute(
        "insert into regulars.tellings (alarm_id, address) select unnest(%s::bigint[]), %s on conflict do nothing",
        [[alarm.alarm_id for alarm in alarms if alarm.cleared_at is None], address],
    )
    connection.execute(
        "update regulars.tellings set clearing_told_at = clock_timestamp() where alarm_id = any(%s) and address = %s",
        [[alarm.alarm_id for alarm in alarms if alarm.cleared_at is not None], address],
    )


def _select(connection: Connection, condition: str, *values: object) -> list[Alarm]:
    with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from regulars.alarms {condition} order by alarms.alarm_id",  # noqa: S608 - our own text
            values,
        ).fetchall()
