"""Retrying failed checkouts: those that the database stored because it could not carry them out."""

import psycopg
from pydantic import ValidationError

from ingest.checkout import Checkout
from ingest.storage.connections import Connection
from ingest.storage.errors import RegularsError
from ingest.tracking import track

_MOST_TRIES = 30

_FAILED = "select order_id, shop_id, event from regulars.failures where tries < %s order by noted_at"

_SETTLED = "delete from regulars.failures where order_id = %s and shop_id = %s"

_FAILED_AGAIN = "update regulars.failures set tries = tries + 1, reason = %s where order_id = %s and shop_id = %s"


def retry_failures(connection: Connection) -> int:
    """Tries each failed checkout again, the oldest first; returns how many succeeded.

    One that fails again holds up no other. A checkout that has failed thirty times is left in regulars.failures for
    somebody to look at. `connection` is in autocommit. Raises psycopg.OperationalError.
    """
    settled = 0
    for order_id, shop_id, event in connection.execute(_FAILED, [_MOST_TRIES]).fetchall():
        try:
            outcome = track(connection, Checkout.model_validate(event)).outcome
        except (ValidationError, psycopg.DataError, psycopg.IntegrityError, RegularsError) as error:
            # Only the name of the error, because its text may hold a phone.
            connection.execute(_FAILED_AGAIN, [type(error).__name__, order_id, shop_id])
            continue
        if outcome != "failed":
            connection.execute(_SETTLED, [order_id, shop_id])
            settled += 1
    return settled
