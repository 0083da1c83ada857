"""Which models and data tests changed since the last success: they and their downstream models are recomputed."""

from dataclasses import dataclass

from flows.building import project
from flows.building.hashes import node_hashes
from flows.history import Refresh
from flows.lock import PATIENCE
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

_IS_KNOWN = "select exists (select from regulars.node_hashes where fingerprint = %s)"

_REMEMBER = """
    insert into regulars.node_hashes (fingerprint, node_id, hash)
    select %s, node_id, hash from unnest(%s::text[], %s::text[]) as hashed (node_id, hash)
"""

# A relation holds the result of the last success, or of a later build that was not published. A build whose models were
# never hashed failed before it built anything.
_COMPARE = """
    with
    built as (
        select distinct fingerprint
        from regulars.refreshes
        where
            refresh_id >= (select max(refresh_id) from regulars.refreshes where status = 'succeeded')
            and (status = 'succeeded' or fingerprint in (select fingerprint from regulars.node_hashes))
    )

    select wanted.node_id, coalesce(bool_and(wanted.hash is not distinct from standing.hash), false)
    from regulars.node_hashes as wanted
    cross join built
    left join regulars.node_hashes as standing
        on built.fingerprint = standing.fingerprint and wanted.node_id = standing.node_id
    where wanted.fingerprint = %s
    group by wanted.node_id
"""


_IS_ANY = """
    select bool_or(fingerprint <> %s)
    from regulars.refreshes
    where refresh_id >= (select max(refresh_id) from regulars.refreshes where status = 'succeeded')
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """The names of the models to recompute, of those that build on existing rows, and of tests to run on all rows.

    `is_any`: whether anything changed, even only a description.
    """

    is_any: bool = False
    recomputed: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    tests: frozenset[str] = frozenset()


def compare(
    connection: Connection, refresh: Refresh, settings: Settings, conninfo: str, *, patience: float = PATIENCE
) -> Changed:
    """What changed since the last success. dbt reads the project only if these models were never compared before.

    Raises BuildFailed if dbt can't read the project.
    """
    if connection.execute(_IS_KNOWN, [refresh.fingerprint]).fetchone() == (False,):
        hashes = node_hashes(project.read(settings, conninfo, patience=patience))
        connection.execute(_REMEMBER, [refresh.fingerprint, list(hashes), list(hashes.values())])
    names: dict[tuple[str, bool], set[str]] = {}
    for node_id, is_kept in connection.execute(_COMPARE, [refresh.fingerprint]):
        kind, _, name, *_ = node_id.split(".")
        names.setdefault((kind, is_kept), set()).add(name)
    return Changed(
        is_any=connection.execute(_IS_ANY, [refresh.fingerprint]).fetchone() == (True,),
        recomputed=frozenset(names.get(("model", False), ())),
        kept=frozenset(names.get(("model", True), ())),
        tests=frozenset(names.get(("test", False), ())),
    )
