"""dbt connects as everything else does, whatever a connection string says or leaves open."""

import pytest

from flows.building.project import environment
from ingest.storage.settings import Settings

_PROFILE = ("HOST", "PORT", "USER", "DBNAME", "SSLMODE")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT", "PGOPTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGUSER", "ama")


def _profile(conninfo: str) -> tuple[str, ...]:
    given = environment(Settings(), conninfo)
    return tuple(given[f"REGULARS_DBT_{name}"] for name in _PROFILE)


@pytest.mark.parametrize(
    ("conninfo", "profile"),
    [
        ("postgresql://kofi:secret@db.example:5433/shops", ("db.example", "5433", "kofi", "shops", "prefer")),
        # By a socket, as the user of the machine.
        ("postgresql:///shops", ("", "5432", "ama", "shops", "prefer")),
        ("postgresql://kofi@db.example", ("db.example", "5432", "kofi", "kofi", "prefer")),
    ],
)
def test_what_a_connection_string_leaves_open_is_what_libpq_takes(conninfo: str, profile: tuple[str, ...]) -> None:
    assert _profile(conninfo) == profile


def test_libpqs_variables_count_where_the_connection_string_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "/run/pg", "PGPORT": "6000", "PGSSLMODE": "require", "PGPASSWORD": "secret"}.items():
        monkeypatch.setenv(name, value)
    assert _profile("dbname=shops") == ("/run/pg", "6000", "ama", "shops", "require")
    assert environment(Settings(), "dbname=shops")["DBT_ENV_SECRET_PASSWORD"] == "secret"


def test_certificates_and_options_of_a_connection_string_are_dbts_too() -> None:
    given = environment(
        Settings(),
        "host=db.example sslmode=verify-full sslrootcert=/certs/ca.pem password=secret options='-c role=nightly'",
    )
    assert given["PGSSLROOTCERT"] == "/certs/ca.pem"
    assert given["PGOPTIONS"].startswith("-c role=nightly -c client_connection_check_interval=1000 ")
    assert "PGPASSWORD" not in given
