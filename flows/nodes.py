"""The nodes of a refresh: how long each step, model and data test took, and what it changed for readers.

They are stored in `regulars.refresh_nodes`, from which the report is read.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ingest.storage.connections import Connection

ALL_TESTS = "all"
"""The name under which the seconds of all data tests are summed up: one row each would make the table large."""


_STORE = """
    insert into regulars.refresh_nodes
        (refresh_id, kind, node, number, seconds, has_failed, rows_added, rows_removed, is_anew)
    select %s, kind, node, number, seconds, has_failed, rows_added, rows_removed, kind = 'model' and node = any(%s)
    from unnest(%s::text[], %s::text[], %s::float8[], %s::boolean[], %s::bigint[], %s::bigint[])
        with ordinality as noted (kind, node, seconds, has_failed, rows_added, rows_removed, number)
"""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A model or data test of a build that has `total` of them: it began or, where `seconds` is set, ended.

    `is_skipped`: it did not run, because one that it reads failed.
    """

    node_id: str
    total: int
    seconds: float | None = None
    has_failed: bool = False
    is_skipped: bool = False

    @property
    def kind(self) -> str:
        return self.node_id.split(".")[0]

    @property
    def name(self) -> str:
        return self.node_id.split(".")[2]


Watch = Callable[[NodeEvent], None]
"""Called for each event of a build, from several threads; it must be quick."""


def ignore(event: NodeEvent) -> None:
    """Ignores the event."""


@dataclass(frozen=True, slots=True)
class RowsChanged:
    """How many rows of a published relation were added and removed. A row that changed counts in both."""

    added: int
    removed: int


@dataclass(slots=True)
class NodeLog:
    """What one refresh notes of its nodes while it runs."""

    _steps: dict[str, tuple[float, bool]] = field(default_factory=dict)
    # By id: dbt builds again what a plan could not build, and its result counts.
    _ended: dict[str, NodeEvent] = field(default_factory=dict)
    _rows: Mapping[str, RowsChanged] = field(default_factory=dict)

    def step(self, name: str, seconds: float, *, has_failed: bool) -> None:
        self._steps[name] = seconds, has_failed

    def node(self, event: NodeEvent) -> None:
        """Notes a model or data test that ended; threads may call it at once."""
        if event.seconds is not None and not event.is_skipped:
            self._ended[event.node_id] = event

    def published(self, rows: Mapping[str, RowsChanged]) -> None:
        """Notes which rows were published, by the name of the relation."""
        self._rows = rows

    def store(self, connection: Connection, refresh_id: int, *, recomputed: Collection[str]) -> None:
        """Writes all of it in one statement, without waiting for the disk: a crash that loses it loses no number.

        `recomputed`: the models that were computed in full.
        """
        rows = [(*node, *self._changes(*node[:2])) for node in self._nodes()]
        if not rows:
            return
        with connection.transaction():
            connection.execute("set local synchronous_commit = off")
            connection.execute(_STORE, [refresh_id, list(recomputed), *map(list, zip(*rows, strict=True))])

    def _nodes(self) -> list[tuple[str, str, float, bool]]:
        """Kind, name, seconds, and whether it failed."""
        nodes = [("step", name, seconds, has_failed) for name, (seconds, has_failed) in self._steps.items()]
        tests = [event for event in self._ended.values() if event.kind == "test"]
        if tests:
            nodes.append(("test", ALL_TESTS, sum(event.seconds or 0 for event in tests), False))
        for event in self._ended.values():
            if event.kind == "model" or event.has_failed:
                nodes.append((event.kind, event.name, event.seconds or 0, event.has_failed))
        return nodes

    def _changes(self, kind: str, name: str) -> tuple[int | None, int | None]:
        rows = self._rows.get(name) if kind == "model" else None
        return (rows.added, rows.removed) if rows else (None, None)
