"""The metrics of the refresh, beside those of the ingest API."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from flows import history
from flows.alarms.watch import keep_watch
from ingest.storage.settings import Settings
from regulars.ingest_api.app import create_app
from tests.conftest import Database
from tests.served import served

_TOKENS = (SecretStr("the-token-of-the-storefront"),)


def _metrics(settings: Settings) -> dict[str, float]:
    with served(create_app(settings), headers={}) as client:
        lines = client.get("/metrics").text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
        if name.startswith(("regulars_refresh", "regulars_numbers", "regulars_alarms", "regulars_open_alarms"))
    }


def test_checkouts_role_shows_the_refresh_to_a_monitor(migrated: Database, checkout_login: str, tmp_path: Path) -> None:
    settings = Settings(DATABASE_URL=checkout_login, home=tmp_path, ingest_tokens=_TOKENS)
    assert _metrics(settings) == {"regulars_open_alarms": 0}
    with migrated.connect() as connection:
        first = history.begin(connection, mode=None, fingerprint="models")
        history.claim(connection, first, as_of=datetime.now(UTC), matched=0, unreadable=0)
        history.succeed(connection, first.refresh_id, warnings=[])
        connection.execute(
            "update regulars.refreshes set changes = 7, as_of = '2026-03-14 12:00:00+00', "
            "started_at = '2026-03-14 12:00:00+00', finished_at = '2026-03-14 12:00:05+00'"
        )
        second = history.begin(connection, mode=None, fingerprint="models")
        history.fail(connection, second.refresh_id, "BuildFailed")
        keep_watch(connection, migrated.settings)
    assert _metrics(settings) == {
        "regulars_numbers_as_of_timestamp_seconds": 1773489600,
        "regulars_refresh_seconds": 5,
        "regulars_refresh_changes": 7,
        "regulars_refresh_failed": 1,
        "regulars_open_alarms": 2,
        'regulars_alarms{cause="numbers_too_old"}': 1,
        'regulars_alarms{cause="refresh_failed"}': 1,
    }


def test_without_the_database_the_other_metrics_are_shown(tmp_path: Path) -> None:
    settings = Settings(DATABASE_URL="host=127.0.0.1 port=1", home=tmp_path, ingest_tokens=_TOKENS)
    assert _metrics(settings) == {}
    with served(create_app(settings), headers={}) as client:
        assert "regulars_spool_events 0.0" in client.get("/metrics").text
