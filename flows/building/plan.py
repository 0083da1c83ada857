"""The statements by which dbt refreshes the models, recorded once and run again without dbt.

dbt works out a refresh's statements from the project and from the shape of the relations. While neither changes, it
works out the same statements every time, and needs longer for that than a small refresh needs to run them. So a refresh
by dbt records them, and those that follow run the recording: the same text, in the order of the models, on as many
connections. A rebuild is always dbt's, and so is a refresh after any change to the project, to dbt or to a relation,
and one in which a recorded statement fails.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from flows.building import project
from flows.shapes import PUBLISHED, WORKING, shapes
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings

_COMMENT = re.compile(r"\A\s*/\*.*?\*/\s*", re.DOTALL)


class Node(BaseModel):
    """A model or a data test: its id in dbt, the ids of those that it reads, and its statements."""

    node_id: str
    after: list[str]
    statements: list[str]
    only_warns: bool
    """A data test whose severity is `warn`."""

    @property
    def name(self) -> str:
        return self.node_id.split(".")[2]

    @property
    def is_test(self) -> bool:
        return self.node_id.startswith("test.")


class Plan(BaseModel):
    """What a refresh runs while `key` is the same."""

    key: str
    nodes: list[Node]


def plan_file(settings: Settings) -> Path:
    return settings.home / "dbt" / "plan.json"


def plan_key(connection: Connection) -> str:
    """A hash of all that dbt's statements depend on."""
    folder = project.project_folder()
    digest = hashlib.sha256(project.fingerprint().encode())
    for path in sorted([folder / "profiles.yml", *folder.glob("tests/dbt/**/*.sql")]):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for library in ("dbt-core", "dbt-adapters", "dbt-postgres"):
        digest.update(version(library).encode())
    digest.update(connection.info.dbname.encode())
    for schema in (WORKING, PUBLISHED):
        for name, shape in sorted(shapes(connection, schema).items()):
            # No statement names an index, and a rebuild gives each a new name.
            indexes = sorted((repr(held.index), held.is_primary, held.is_valid) for held in shape.indexes)
            digest.update(repr((name, shape.kind, shape.columns, indexes)).encode())
    return digest.hexdigest()


def read_plan(settings: Settings, key: str) -> Plan | None:
    """The plan that was recorded for this key. None if there is none, or if its file is damaged."""
    try:
        plan = Plan.model_validate_json(plan_file(settings).read_bytes())
    except (OSError, ValidationError):
        return None
    return plan if plan.key == key else None


def write_plan(settings: Settings, plan: Plan) -> None:
    """If the file can't be written, dbt runs the next refresh too."""
    file = plan_file(settings)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        unfinished.write_text(plan.model_dump_json(), encoding="utf-8")
        unfinished.replace(file)


def forget_plan(settings: Settings) -> None:
    with suppress(OSError):
        plan_file(settings).unlink()


def recorded(key: str, results: Iterable[Any], statements: Sequence[tuple[str, str]]) -> Plan:
    """The plan of a dbt build, from its results and from all statements that it ran, each with the id of its node."""
    nodes = [result.node for result in results]
    ids = {node.unique_id for node in nodes}
    return Plan(
        key=key,
        nodes=[
            Node(
                node_id=node.unique_id,
                after=[before for before in node.depends_on_nodes if before in ids],
                statements=[
                    text
                    for node_id, statement in statements
                    if node_id == node.unique_id
                    # A model's SELECT answers a question of dbt's own, such as which columns there are, or sets
                    # comments, which only another description changes.
                    if not (text := _COMMENT.sub("", statement)).lower().startswith("select")
                    or node.resource_type == "test"
                ],
                only_warns=node.resource_type == "test" and node.config.severity.lower() == "warn",
            )
            for node in nodes
        ],
    )
