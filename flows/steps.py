"""A refresh, step by step, without Prefect: the flow and the command run these same steps."""

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from flows import history, indexes, project, relations
from flows.errors import BuildFailed
from flows.history import Mode, Refresh
from flows.lock import PATIENCE, blocked, refresh_lock
from flows.publish import publish_all
from flows.reconcile import reconcile
from ingest.bulk.matching import Matched, match_orders
from ingest.bulk.retrying import retry_failures
from ingest.spool.file import SPOOL, Spool
from ingest.spool.replay import replay
from ingest.storage.connections import Connection, conninfo
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings

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
    patience: float = PATIENCE
    models: project.Models | None = None
    matched: Matched = field(default_factory=Matched)
    changes: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def has_work(self) -> bool:
        return self.refresh.mode == "rebuild" or self.changes > 0


def prepare_relations(run: Run) -> None:
    """Sees that every relation is guarded; in a rebuild, that the standing marts have room for what models want."""
    # Whoever keeps writers out of the orders stops the matching too, order by order: to be found out before that. As an
    # update's own lock, it waits for no reader and no checkout.
    with run.connection.transaction():
        run.connection.execute("lock table public.shop_orders in row exclusive mode")
    run.warnings += relations.mend_guards(run.connection, patience=run.patience)
    if run.refresh.mode == "rebuild":
        run.models = project.read_models(run.settings, run.conninfo)
        relations.prepare_columns(run.connection, run.models.marts, patience=run.patience)
        relations.forget_unusable_views(run.connection)
        indexes.drop_unwanted_keys(run.connection, run.models.marts)


def match_customers(run: Run) -> Matched:
    """Links the orders that checkout did not, so that every sale has a customer or a written reason."""
    replay(run.connection, Spool(run.settings.home / SPOOL))
    retry_failures(run.connection)
    run.connection.execute("select regulars.take_over_earlier_visits()")
    run.matched = match_orders(run.connection, everything=run.refresh.mode == "rebuild")
    return run.matched


def claim_batch(run: Run) -> int:
    """Takes the changes that are committed by now; what commits later is the next refresh's."""
    run.changes = history.claim(
        run.connection, run.refresh, matched=run.matched.matched, unreadable=run.matched.unreadable
    )
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


def settle_relations(run: Run) -> None:
    """After a rebuild: drops what no model makes or reads any more, and gives the marts their indexes and keys."""
    if run.models is None:
        return
    wanted = project.relations()
    run.warnings += relations.drop_left_over(run.connection, wanted, patience=run.patience)
    run.warnings += relations.settle_columns(run.connection, run.models.marts, patience=run.patience)
    indexes.settle_indexes(run.connection, run.models.marts, patience=run.patience)


def record(run: Run) -> Refresh:
    """Empties batch and deltas and notes the success, in one transaction."""
    if run.has_work:
        run.connection.execute("select regulars.revoke_from_strangers()")
    run.refresh = history.succeed(run.connection, run.refresh.refresh_id, warnings=run.warnings)
    return run.refresh


def _build(run: Run, *selection: str) -> None:
    if run.has_work:
        built = project.build(run.settings, run.conninfo, *selection, models=run.models, patience=run.patience)
        run.warnings += [f"Look at {name}: the data test warned." for name in built.warnings]


Step = Callable[[Run], object]
STEPS: tuple[Step, ...] = (
    prepare_relations,
    match_customers,
    claim_batch,
    build_marts,
    reconcile_marts,
    publish,
    settle_relations,
    record,
)


def run_refresh(
    settings: Settings,
    *,
    mode: Mode | None = None,
    database: str | None = None,
    patience: float = PATIENCE,
    perform: Callable[[Step, Run], object] = lambda step, run: step(run),
) -> Refresh:
    """One refresh, or rebuild, from lock to record. `perform` runs each step: Prefect's flow gives its own.

    `patience`: how many seconds it waits for a lock that somebody else holds.

    Running it again after a failure, a kill or a missed night ends in the same numbers as if none had happened.
    Raises RefreshRunning, Blocked, BuildFailed, NotReconciled and DatabaseError; a failure is in the history.
    """
    where = conninfo(settings, database=database)
    with refresh_lock(where, patience=patience) as connection:
        require_schema(connection)
        opened = history.begin(
            connection,
            mode=mode,
            fingerprint=project.fingerprint(),
            missing=relations.missing(connection, project.relations()),
        )
        run = Run(settings=settings, conninfo=where, connection=connection, refresh=opened, patience=patience)
        try:
            for step in STEPS:
                _perform(step, run, perform)
        except Exception as error:
            if not connection.closed:
                history.fail(connection, opened.refresh_id, f"{type(error).__name__}: {error}")
            raise
    return run.refresh


def _perform(step: Step, run: Run, perform: Callable[[Step, Run], object]) -> None:
    """Runs a step; where a lock was not to be had, finds out who holds it."""
    try:
        perform(step, run)
    except psycopg.errors.LockNotAvailable as error:
        raise blocked(run.connection, f"A lock was not to be had: {error.diag.message_primary}.") from None
    except BuildFailed as error:
        if "lock timeout" in str(error):
            raise blocked(run.connection, str(error)) from None
        raise
