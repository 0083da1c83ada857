"""What several tests of a database need beside it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ingest.database import Connection
from ingest.spool import SPOOL, Spool
from tests.conftest import Database
from tests.person import KEY


@pytest.fixture
def erasure_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known to everything that asks the environment for it."""
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)


@pytest.fixture
def connection(migrated: Database) -> Iterator[Connection]:
    with migrated.connect() as connection:
        yield connection


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / SPOOL)


@pytest.fixture
def checkout_login(migrated: Database) -> Iterator[str]:
    """The connection string of a login that is a member of regulars_checkout, and nothing else."""
    name = f"regulars_test_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with migrated.connect() as admin:
        admin.execute(
            sql.SQL("create role {} login password {} in role regulars_checkout").format(role, sql.Literal(name))
        )
        try:
            yield make_conninfo(migrated.conninfo, user=name, password=name)
        finally:
            admin.execute(sql.SQL("drop role {}").format(role))
