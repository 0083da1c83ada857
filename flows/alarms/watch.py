"""Finds what is wrong and notifies of it: after each refresh, in `regulars serve` and in `regulars check`."""

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
    """Finds what is wrong, raises and clears alarms, notifies each address of what is new to it, and returns the open
    alarms.

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
    """`keep_watch` without a result; its own errors are logged. `where`: the connection string.

    After a refresh, call it when the lock is released, so that no address delays the next refresh.
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
    """One process at a time, so that no message is sent twice; the next one sends what this one missed."""
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
