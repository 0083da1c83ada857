"""Which links were used and which sessions were signed out: the database knows, for every process and restart."""

from psycopg import sql

from ingest.storage.connections import Connection
from regulars.dashboard.security.tokens import Token


def end(connection: Connection, token: Token) -> bool:
    """Ends the token, and returns whether it was valid until now. The transaction is its owner's, and not read-only."""
    row = connection.execute("select dashboard.end_token(%s, %s)", [token.id_hash, token.expires_at]).fetchone()
    return row == (True,)


def question(token: Token) -> sql.Composed:
    """The query that answers whether the token was ended; it can be sent with others in one round trip."""
    return sql.SQL("select dashboard.is_token_ended({})").format(sql.Literal(token.id_hash))
