"""A hash of each model and data test, which changes with whatever its result depends on, and with nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from flows.building.project import dbt_project_text, without_comments


def node_hashes(manifest: Any) -> dict[str, str]:
    """The hash of each model and data test in dbt's manifest, by dbt's id.

    A model's hash is of its text without comments, its configuration, its columns with their types, the macros that it
    calls, and the hashes of the models that it reads: so it changes with any of them, however far up. Descriptions
    don't count. A data test's hash is of what it looks for, and of no model.
    """
    nodes = {key: node for key, node in manifest.nodes.items() if node.resource_type in ("model", "test")}
    # The rows in PostgreSQL don't depend on how Spark would have computed them.
    macros = {
        name: macro
        for name, macro in manifest.macros.items()
        if macro.package_name == "regulars" and not macro.name.startswith("spark__")
    }
    # These replace macros of dbt's own. Whether dbt says that a node calls one depends on what the process did before.
    ours = {macro.name for macro in macros.values()}
    overrides = {
        name
        for name, macro in macros.items()
        if macro.name.startswith("postgres__") and macro.name.removeprefix("postgres__") not in ours
    }
    calls = {key: [*{*node.depends_on.macros} - overrides] for key, node in nodes.items()}
    # dbt itself calls macros that no node calls, such as materializations and strategies: any model may depend on them.
    called = _reached(macros, (name for names in calls.values() for name in names))
    for_all = [dbt_project_text(), *_texts(macros, macros.keys() - called)]
    done: dict[str, str] = {}

    def hash_of(key: str) -> str:
        if (source := manifest.sources.get(key)) is not None:
            return f"{source.schema}.{source.identifier}"
        if key not in done:
            node = nodes[key]
            done[key] = _hash(
                without_comments(node.raw_code, ".sql"),
                _texts(macros, calls[key]),
                [node.schema, node.alias, node.config.to_dict()],
                [[column.name, column.data_type, column.constraints] for column in node.columns.values()],
                # The text of a generic test doesn't say which column it tests, nor for what.
                [*for_all, *map(hash_of, node.depends_on.nodes)] if node.resource_type == "model" else node.name,
            )
        return done[key]

    return {key: hash_of(key) for key in nodes}


def _texts(macros: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The texts of these macros, and of those that they call."""
    return [without_comments(macros[name].macro_sql, ".sql") for name in sorted(_reached(macros, names))]


def _reached(macros: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = [*names]
    while waiting:
        if (name := waiting.pop()) in macros and name not in found:
            found.add(name)
            waiting += macros[name].depends_on.macros
    return found


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()[:16]
