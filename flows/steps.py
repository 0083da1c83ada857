"""A refresh, step by step, without Prefect: the flow and the command run these same steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import psycopg

from flows import history
from flows.alarms.watch import watch_quietly
from flows.audit.drift import audit, is_due
from flows.building import project
from flows.building.changed import Changed, compare
from flows.building.plan import forget_plan, plan_key, read_plan, recorded, write_plan
from flows.building.planned_build import run_plan
from flows.building.project import Built
from flows.building.shop_rebuild import empty_shops
from flows.errors import Blocked, BuildFailed, description
from flows.forecast.due import due_shops
from flows.history import Mode, Refresh
from flows.lock import PATIENCE, blocked, refresh_lock
from flows.nodes import NodeEvent, NodeLog, Watch, ignore
from flows.publishing import relations
from flows.publishing.columns import settle_columns
from flows.publishing.indexes import settle_indexes
from flows.publishing.publish import prepare, publish_all
from flows.shapes import PUBLISHED, WORKING, shapes
from flows.spark.needs import require_spark
from flows.volume.days import judge_days
from flows.volume.measures import describe
from ingest.bulk.matching import Matched, match_orders
from ingest.bulk.retrying import retry_failures
from ingest.spool.file import SPOOL, Spool, SpoolRefused
from ingest.spool.replay import replay
from ingest.storage.connections import Connection, conninfo
from ingest.storage.migrations import require_schema
from ingest.storage.settings import Settings

if TYPE_CHECKING:
    from flows.spark.rebuild import SparkRebuild

# Tests tagged `audit` read whole marts, so a model that builds on existing rows doesn't run them.
_INCREMENTALLY = ("--exclude", "tag:audit", "--indirect-selection", "cautious")

# The other models are views that stay as they are until the models change.
_REFRESHED = (
    # Each model looks up what it needs; dbt would first read every relation of the database.
    "--no-populate-cache",
    *("--select", "config.materialized:incremental", "config.materialized:materialized_view", "tag:nightly"),
    *_INCREMENTALLY,
)


@dataclass(slots=True)
class Run:
    """What the steps of one refresh pass on to each other."""

    settings: Settings
    conninfo: str
    connection: Connection
    refresh: Refresh
    patience: float = PATIENCE
    as_of: datetime | None = None
    matched: Matched = field(default_factory=Matched)
    changes: int = 0
    changed: Changed = field(default_factory=Changed)
    warnings: list[str] = field(default_factory=list)
    log: NodeLog = field(default_factory=NodeLog)
    onlooker: Watch = ignore
    on_spark: "SparkRebuild | None" = None

    def watch(self, event: NodeEvent) -> None:
        """Notes a model or data test that ended, and passes the event on."""
        self.log.node(event)
        self.onlooker(event)

    def note_warnings(self, built: Built) -> None:
        """Notes the data tests that warned."""
        self.warnings += [f"Look at {name}: the data test warned." for name in built.warnings]

    @property
    def has_work(self) -> bool:
        return self.refresh.mode != "refresh" or self.changes > 0

    @property
    def recomputed(self) -> frozenset[str]:
        """The names of the models that are computed in full."""
        if self.refresh.mode == "rebuild":
            return frozenset(relation.name for relation in project.relations())
        return self.changed.recomputed


def compare_models(run: Run) -> None:
    """Finds the models that changed since the last success, and whether what the others build on is there."""
    run.changed = compare(run.connection, run.refresh, run.settings, run.conninfo, patience=run.patience)
    if run.refresh.mode == "rebuild":
        return
    wanted = [relation for relation in project.relations() if relation.name not in run.changed.recomputed]
    if missing := relations.missing(run.connection, wanted):
        reason = f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} missing"
        run.refresh = history.change_mode(run.connection, run.refresh.refresh_id, "rebuild", reason)
    elif run.changed.is_any:
        mode: Mode = "partial" if run.changed.kept else "rebuild"
        run.refresh = history.change_mode(run.connection, run.refresh.refresh_id, mode, "the models changed")


def prepare_relations(run: Run) -> None:
    """Restores row-level security and owners' views, and drops working relations that no model makes."""
    # A lock that excludes writers of the orders would stop the matching at each order, so it is noticed first. This is
    # the lock of an update: it waits for no reader and no checkout.
    with run.connection.transaction():
        run.connection.execute("lock table public.shop_orders in row exclusive mode")
    run.warnings += relations.fix_guards(run.connection, patience=run.patience)
    if run.refresh.mode != "refresh":
        relations.clear_working(run.connection, project.relations())


def match_customers(run: Run) -> Matched:
    """Matches the orders that checkout did not, so that every sale has a customer or a written reason."""
    try:
        replay(run.connection, Spool(run.settings.home / SPOOL))
    except SpoolRefused as error:
        # Its events wait on this machine, and don't hold up the numbers of every shop.
        run.warnings.append(f"Events wait in the spool: {error}")
    retry_failures(run.connection)
    run.connection.execute("select regulars.take_over_earlier_visits()")
    (run.as_of,) = run.connection.execute("select clock_timestamp()").fetchone() or (None,)
    run.matched = match_orders(run.connection, everything=run.refresh.mode == "rebuild")
    return run.matched


def forecast_purchases(run: Run) -> None:
    """Fits and scores the shops that are due, from what the last refresh published; this one publishes the forecasts.

    It comes before the claim, which takes the shops whose forecasts changed with everything else. Where models changed
    it fits nothing: the published tables may not be those of the new models.
    """
    if run.refresh.mode == "refresh" and (due := due_shops(run.connection)):
        # Imported only where there is something to fit, because it imports scipy.
        from flows.forecast.fitting import fit_shops

        if left := fit_shops(run.connection, due):
            run.warnings.append(f"Forecasts of {left} shops wait for the next refresh: fitting took all of its time.")


def claim_batch(run: Run) -> int:
    """Claims the changes that are committed by now; the next refresh gets those that commit later.

    Shops that wait to be recomputed are emptied first, and all their keys are among the changes.
    """
    empty_shops(run.connection, run.refresh, recomputed=run.recomputed)
    run.changes = history.claim(
        run.connection, run.refresh, as_of=run.as_of, matched=run.matched.matched, unreadable=run.matched.unreadable
    )
    return run.changes


def build_marts(run: Run) -> Built | None:
    """Brings every working relation up to date and tests the rows written; all rows of recomputed models."""
    if not run.has_work:
        return None
    built = _build(run)
    run.note_warnings(built)
    return built


def _build(run: Run) -> Built:
    """Runs what dbt ran the last time, if it would run the same again; otherwise dbt."""
    conninfo = run.conninfo
    if run.refresh.mode == "rebuild":
        return project.build(run.settings, conninfo, "--full-refresh", patience=run.patience, watch=run.watch)
    if run.refresh.mode == "partial":
        return _build_partly(run)
    # Of all threads but one: a refresh runs at any hour, and checkouts need a core too.
    settings = run.settings.model_copy(update={"threads": max(1, run.settings.threads - 1)})
    key = plan_key(run.connection)
    if plan := read_plan(settings, key):
        try:
            return run_plan(plan, settings, conninfo, patience=run.patience, watch=run.watch)
        except psycopg.Error:
            # dbt repairs what it can, or says what is wrong. What the plan has committed stays correct, since a build
            # can start again from any point.
            forget_plan(settings)
    return project.build(
        settings,
        conninfo,
        *_REFRESHED,
        patience=run.patience,
        watch=run.watch,
        see=lambda results, statements: write_plan(settings, recorded(key, results, statements)),
    )


def _build_partly(run: Run) -> Built:
    """Brings the other models up to date, and then computes the changed ones, which none of these reads, from them."""
    changed = run.changed
    kept = project.build(
        run.settings,
        run.conninfo,
        *("--select", *sorted(changed.kept)),
        *_INCREMENTALLY,
        patience=run.patience,
        watch=run.watch,
    )
    if not changed.recomputed and not changed.tests:
        return kept
    recomputed = project.build(
        run.settings,
        run.conninfo,
        "--full-refresh",
        *("--select", *sorted(changed.recomputed | changed.tests)),
        patience=run.patience,
        watch=lambda event: run.watch(replace(event, total=len(kept.seconds) + event.total)),
    )
    return Built(seconds=kept.seconds | recomputed.seconds, warnings=kept.warnings + recomputed.warnings)


def extract_rows(run: Run) -> None:
    """Writes the raw rows of this moment to files for Spark, which makes the refresh a rebuild."""
    if not run.has_work:
        return
    # Imported here, because Spark is not installed everywhere.
    require_spark()
    from flows.spark.rebuild import SparkRebuild

    run.on_spark = SparkRebuild(run.settings, run.conninfo)
    if run.refresh.mode != "rebuild":
        reason = run.refresh.reason or "Spark computes everything"
        run.refresh = history.change_mode(run.connection, run.refresh.refresh_id, "rebuild", reason)
        relations.clear_working(run.connection, project.relations())
    as_of = run.on_spark.extract_rows(patience=run.patience)
    run.refresh = history.hold_as_of(run.connection, run.refresh.refresh_id, as_of)


def build_on_spark(run: Run) -> Built | None:
    """Computes and tests everything on Spark, and compares it with the raw rows."""
    if run.on_spark is None:
        return None
    built = run.on_spark.build(watch=run.watch)
    run.note_warnings(built)
    return built


def load_marts(run: Run) -> Built | None:
    """Copies what Spark computed into the working tables, and builds and tests their downstream models there."""
    if run.on_spark is None:
        return None
    built = run.on_spark.load(patience=run.patience, watch=run.watch)
    run.note_warnings(built)
    return built


def judge_volume(run: Run) -> None:
    """Warns of days with far fewer orders than on the same weekday of previous weeks; it stops nothing."""
    run.warnings += describe(judge_days(run.connection, schema=WORKING, refresh_id=run.refresh.refresh_id))


def publish(run: Run) -> None:
    """Shows readers what was built, all in one transaction, and records the success in it."""
    if run.refresh.mode != "refresh":
        prepare(run.connection, patience=run.patience)
    run.refresh, rows = publish_all(
        run.connection,
        run.refresh,
        recomputed=run.recomputed,
        budget=run.settings.reconcile_orders,
        has_work=run.has_work,
        warnings=run.warnings,
        patience=run.patience,
    )
    run.log.published(rows)


def settle_relations(run: Run) -> None:
    """Drops what no model makes or reads any more, and gives the published tables their indexes and keys.

    The numbers are published by now, so what can't be done is a warning, and the next refresh tries it again.
    """
    connection, patience = run.connection, run.patience
    wanted = project.relations()
    try:
        warnings = relations.drop_left_over(connection, wanted, patience=patience)
        working = shapes(connection, WORKING)
        for name, table in shapes(connection, PUBLISHED).items():
            if name in working:
                warnings += settle_columns(connection, table, working[name], patience=patience)
        settle_indexes(connection, shapes(connection, PUBLISHED), working, patience=patience)
    except psycopg.errors.LockNotAvailable as error:
        warnings = [str(blocked(connection, f"A lock could not be obtained: {error.diag.message_primary}."))]
    except Blocked as error:
        warnings = [str(error)]
    if warnings:
        run.refresh = history.warn(connection, run.refresh.refresh_id, warnings)


def audit_shops(run: Run) -> None:
    """Once a week, recomputes shops drawn at random from their raw rows, and warns where the published rows differ."""
    if run.refresh.mode != "refresh" or not is_due(run.connection):
        return
    try:
        warnings = audit(run.connection, run.settings, run.conninfo, patience=run.patience)
    except BuildFailed as error:
        warnings = [f"The audit was not finished: {error}"]
    if warnings:
        run.refresh = history.warn(run.connection, run.refresh.refresh_id, warnings)


Step = Callable[[Run], object]
_BEFORE: tuple[Step, ...] = (compare_models, prepare_relations, match_customers, forecast_purchases, claim_batch)
_AFTER: tuple[Step, ...] = (judge_volume, publish, settle_relations, audit_shops)
STEPS = (*_BEFORE, build_marts, *_AFTER)
STEPS_ON_SPARK = (*_BEFORE, extract_rows, build_on_spark, load_marts, *_AFTER)


def steps_of(settings: Settings) -> tuple[Step, ...]:
    """The steps of a refresh by the engine that is set."""
    return STEPS_ON_SPARK if settings.engine == "spark" else STEPS


def run_refresh(
    settings: Settings,
    *,
    mode: Mode | None = None,
    patience: float = PATIENCE,
    perform: Callable[[Step, Run], object] = lambda step, run: step(run),
    watch: Watch = ignore,
) -> Refresh:
    """One refresh, or rebuild. `perform` runs each step; Prefect's flow passes its own.

    `watch` is called for each model and data test that begins or ends, by several threads. `patience`: how many seconds
    it waits for somebody else's lock.

    Idempotent: run again after a failure, a kill or a missed night, it ends with the same numbers as without.
    Raises RefreshRunning, Blocked, BuildFailed, NotReconciled, NotPublished, DatabaseError, and SettingError if
    DATABASE_URL can't be read; with the engine spark also SparkMissing, ExtractFailed and LoadFailed. A failure is in
    the history. Afterwards, however it ended, alarms are settled.
    """
    where = conninfo(settings)
    try:
        return _run_locked(settings, where, mode=mode, patience=patience, perform=perform, watch=watch)
    finally:
        watch_quietly(where, settings)


def _run_locked(
    settings: Settings,
    where: str,
    *,
    mode: Mode | None,
    patience: float,
    perform: Callable[[Step, Run], object],
    watch: Watch,
) -> Refresh:
    with refresh_lock(where, patience=patience) as connection:
        require_schema(connection)
        opened = history.begin(connection, mode=mode, fingerprint=project.fingerprint())
        run = Run(
            settings=settings,
            conninfo=where,
            connection=connection,
            refresh=opened,
            patience=patience,
            onlooker=watch,
        )
        try:
            for step in steps_of(settings):
                _perform(step, run, perform)
            run.log.store(connection, opened.refresh_id, recomputed=run.recomputed)
        except Exception as error:
            if not connection.closed:
                history.fail(connection, opened.refresh_id, description(error))
                run.log.store(connection, opened.refresh_id, recomputed=run.recomputed)
            raise
    return run.refresh


def _perform(step: Step, run: Run, perform: Callable[[Step, Run], object]) -> None:
    """Runs a step; if it could not obtain a lock, finds out who holds it."""
    history.enter(run.connection, run.refresh.refresh_id, step.__name__)
    began = time.monotonic()
    has_failed = True
    try:
        perform(step, run)
        has_failed = False
    except psycopg.errors.LockNotAvailable as error:
        raise blocked(run.connection, f"A lock could not be obtained: {error.diag.message_primary}.") from None
    except BuildFailed as error:
        if "lock timeout" in str(error):
            raise blocked(run.connection, str(error)) from None
        raise
    finally:
        run.log.step(step.__name__, time.monotonic() - began, has_failed=has_failed)
