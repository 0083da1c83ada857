"""A refresh, step by step, without Prefect: the flow and the command run these same steps."""

from collections.abc import Callable
from dataclasses import dataclass, field

from flows import history, project
from flows.history import Mode, Refresh
from flows.lock import refresh_lock
from flows.publishing import publish_all
from flows.reconcile import reconcile
from ingest.database import Connection, conninfo
from ingest.failures import retry_failures
from ingest.linking import Linked, link
from ingest.migrations import require_schema
from ingest.replay import replay
from ingest.settings import Settings
from ingest.spool import SPOOL, Spool

# Staging is views, and `checks` too: they are made when the models change, and that makes a refresh a rebuild.
# A refresh builds the marts and the materialized views on them; audits read whole marts, so only a rebuild runs them.
_NO_AUDITS = ("--exclude", "tag:audit")
_MARTS: dict[Mode, tuple[str, ...]] = {
    "refresh": ("--select", "config.materialized:incremental", "tag:nightly", *_NO_AUDITS),
    "rebuild": ("--select", "staging", "marts", "checks", "--full-refresh"),
}
_PUBLISHED: dict[Mode, tuple[str, ...]] = {
    "refresh": ("--select", "config.materialized:materialized_view", *_NO_AUDITS),
    "rebuild": ("--select", "config.materialized:materialized_view"),
}


@dataclass(slots=True)
class Run:
    """What the steps of one refresh hand on to each other."""

    settings: Settings
    conninfo: str
    connection: Connection
    refresh: Refresh
    linked: Linked = field(default_factory=Linked)
    changes: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def has_work(self) -> bool:
        return self.refresh.mode == "rebuild" or self.changes > 0


def link_stragglers(run: Run) -> Linked:
    """Links the orders that checkout did not, so that every sale has a customer or a written reason."""
    replay(run.connection, Spool(run.settings.home / SPOOL))
    retry_failures(run.connection)
    run.connection.execute("select regulars.take_over_earlier_visits()")
    run.linked = link(run.connection, everything=run.refresh.mode == "rebuild")
    return run.linked


def claim_batch(run: Run) -> int:
    """Takes the changes that are committed by now; what commits later is the next refresh's."""
    run.changes = history.claim(run.connection, run.refresh, linked=run.linked.linked, unreadable=run.linked.unreadable)
    return run.changes


def build_marts(run: Run) -> None:
    """Brings every mart up to date and tests what was written; in a rebuild, everything."""
    _build(run, *_MARTS[run.refresh.mode], "--indirect-selection", "cautious")


def reconcile_marts(run: Run) -> None:
    """Refuses to publish marts that don't add up to the raw sales."""
    reconcile(run.connection, budget=run.settings.reconcile_orders)


def publish(run: Run) -> None:
    """Refreshes the materialized views that the dashboard reads, all at once; dbt makes new ones and tests all."""
    if run.has_work:
        publish_all(run.connection)
    _build(run, *_PUBLISHED[run.refresh.mode], "--indirect-selection", "buildable")


def record(run: Run) -> Refresh:
    """Empties batch and deltas and notes the success, in one transaction."""
    if run.has_work:
        run.connection.execute("select regulars.revoke_from_strangers()")
    run.refresh = history.succeed(run.connection, run.refresh.refresh_id, warnings=run.warnings)
    return run.refresh


def _build(run: Run, *selection: str) -> None:
    if run.has_work:
        run.warnings += project.build(run.settings, run.conninfo, *selection).warnings


Step = Callable[[Run], object]
STEPS: tuple[Step, ...] = (link_stragglers, claim_batch, build_marts, reconcile_marts, publish, record)


def run_refresh(
    settings: Settings,
    *,
    mode: Mode | None = None,
    database: str | None = None,
    perform: Callable[[Step, Run], object] = lambda step, run: step(run),
) -> Refresh:
    """One refresh, or rebuild, from lock to record. `perform` runs each step: Prefect's flow gives its own.

    Running it again after a failure, a kill or a missed night ends in the same numbers as if none had happened.
    Raises RefreshRunning, BuildFailed, NotReconciled and DatabaseError; a failure is in the history.
    """
    where = conninfo(settings, database=database)
    with refresh_lock(where) as connection:
        require_schema(connection)
        opened = history.begin(connection, mode=mode, fingerprint=project.fingerprint())
        run = Run(settings=settings, conninfo=where, connection=connection, refresh=opened)
        try:
            for step in STEPS:
                perform(step, run)
        except Exception as error:
            if not connection.closed:
                history.fail(connection, opened.refresh_id, f"{type(error).__name__}: {error}")
            raise
    return run.refresh
