"""The watch, after each refresh, beside `regulars serve` and in `regulars check`: finds what is wrong and tells it."""

import logging

import psycopg

from flows.alarms.causes import find_trouble, machine
from flows.alarms.record import Alarm, note_told, open_alarms, settle, untold
from flows.alarms.telling import BUDGET, address_of, messages, tell
from ingest.storage.connections import Connection, connect
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings

log = logging.getLogger("regulars.alarms")

_LOCK = 0x416C_6172_6D73  # "Alarms"


def keep_watch(connection: Connection, settings: Settings) -> list[Alarm]:
    """Finds what is wrong, raises and clears alarms, tells each address what it hasn't been told, and returns those
    that hold.

    Messages that an address didn't accept are sent again next time. Raises SettingError if an address can't be read.
    """
    with connection.transaction():
        connection.execute(
            "select set_config('lock_timeout', '5s', true), set_config('statement_timeout', '30s', true)"
        )
        troubles = find_trouble(connection, settings)
    settle(connection, troubles, machine=machine())
    if settings.alarm_urls:
        _tell(connection, settings)
    return open_alarms(connection)


def watch_quietly(where: str, settings: Settings) -> None:
    """The same where nobody waits for what it finds: what goes wrong is logged. `where`: the connection string.

    After a refresh it is called when the lock is released, so that no address holds up the next refresh.
    """
    try:
        with connect(where, application="regulars-alarms") as connection:
            keep_watch(connection, settings)
    except RegularsError as error:
        log.warning("alarms were not settled: %s", error)
    except psycopg.Error as error:
        # The primary message only: a detail may hold values.
        log.warning("alarms were not settled: %s", error.diag.message_primary or type(error).__name__)


def _tell(connection: Connection, settings: Settings) -> None:
    """One process at a time, so that nobody is told twice; the other's alarms are told by this one, or the next."""
    row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    if row != (True,):
        return
    try:
        addresses = [address_of(url) for url in settings.alarm_urls]
        to_tell = [messages(untold(connection, address)) for address in addresses]
        if any(to_tell):
            told = tell(settings.alarm_urls, to_tell, budget=BUDGET)
            for address, taken in zip(addresses, told, strict=True):
                note_told(connection, [alarm for message in taken for alarm in message.alarms], address)
            if silent := sum(taken != wanted for taken, wanted in zip(told, to_tell, strict=True)):
                log.warning("%s of %s addresses did not take the alarms", silent, len(addresses))
    finally:
        connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
