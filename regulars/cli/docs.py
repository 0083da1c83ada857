"""`regulars docs`: every table and column, and what each is made from, as one page that needs no network."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows import history
from flows.building.project import environment, in_one_line, project_folder, run_dbt
from flows.errors import BuildFailed
from flows.shapes import PUBLISHED, WORKING
from ingest.storage.connections import conninfo
from ingest.storage.errors import RegularsError
from ingest.storage.settings import Settings
from regulars.cli.definitions import definitions
from regulars.cli.opening import open_database

# dbt's page has a placeholder for each of the two files that it would fetch otherwise.
_PLACES = {"manifest": '"MANIFEST.JSON INLINE DATA"', "catalog": '"CATALOG.JSON INLINE DATA"'}
_TITLE = "<title>dbt Docs</title>"

# The policy keeps the browser from fetching or sending anything, whatever a later version of dbt's page asks for.
# The style shows a column's whole description: dbt's own page cuts it after three words.
_HEAD = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:; font-src data:\">"
    "<title>Regulars: tables and columns</title>"
    '<style>td[style*="ellipsis"] {white-space: normal !important; max-width: 28em !important; min-width: 18em}</style>'
)

# A folder of its own: a refresh may be running in the other one.
_TARGET = "docs"

_READS_THE_CLOCK = " It is a view on the tables and on the current local day, so it changes without a refresh."


class DocsFailed(RegularsError):
    """The page can't be made from this database. An earlier page is left as it was."""


def docs(
    output: Annotated[Path | None, typer.Option(help="A folder; by default docs in REGULARS_HOME.")] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Print the definitions of the metrics as Markdown instead.")
    ] = False,
) -> None:
    """Write a page that describes every table and column, and what each is made from. It works offline.

    Beside it, semantic_manifest.json has the metrics in dbt's form, for MetricFlow and BI tools.
    """
    if metrics:
        typer.echo(definitions(project_folder() / "models"), nl=False)
        return
    settings = Settings.from_environment()
    with open_database(settings) as connection:
        if history.last(connection, succeeded=True) is None:
            raise DocsFailed(f"No refresh has succeeded in {connection.info.dbname} yet: run `regulars refresh` first.")
    with Console(stderr=True).status("reading the models and the database"):
        manifest, catalog, semantics = _describe(settings)
        page = _page(manifest, catalog)
    path = (output or settings.home / "docs").resolve() / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path.with_name("semantic_manifest.json"), json.dumps(semantics))
    _write(path, page)
    models = [node for name, node in manifest["nodes"].items() if name.startswith("model.")]
    columns = sum(len(model["columns"]) for model in models)
    Console(highlight=False, soft_wrap=True, markup=False).print(f"{len(models)} tables with {columns} columns: {path}")


def _write(path: Path, content: str) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text(content, encoding="utf-8")
    unfinished.replace(path)


def _describe(settings: Settings) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The models' own descriptions, what the database holds, and the metrics.

    Raises DocsFailed where the database does not hold what the models describe.
    """
    target = settings.home.resolve() / "dbt" / _TARGET
    # Compiled as for a rebuild: the query of a refresh, which reads only what changed, would explain nothing.
    _run_dbt(settings, "compile", "--full-refresh")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    _run_dbt(settings, "docs", "generate", "--no-compile")
    catalog = json.loads((target / "catalog.json").read_text(encoding="utf-8"))
    # Unit tests matter to those who change a model; in the picture they would hide the tables.
    manifest["unit_tests"] = {}
    for name, node in manifest["nodes"].items():
        # It would reveal this machine's paths.
        node.pop("compiled_path", None)
        found = catalog["nodes"].get(name, {"columns": {}})["columns"]
        if name.startswith("model.") and set(found) != set(node["columns"]):
            raise DocsFailed(
                f"The database's {node['schema']}.{node['name']} is not the one that the models describe: "
                "run `regulars refresh` first."
            )
        if name.startswith("model.") and "current" in node["fqn"]:
            node["description"] += _READS_THE_CLOCK
        if node.get("schema") == WORKING:
            _name_as_published(node)
        if name in catalog["nodes"] and catalog["nodes"][name]["metadata"]["schema"] == WORKING:
            catalog["nodes"][name]["metadata"]["schema"] = PUBLISHED
    return manifest, catalog, _metrics_as_published(target)


def _metrics_as_published(target: Path) -> dict[str, Any]:
    """dbt's semantic manifest, with the relations that analysts may read."""
    semantics: dict[str, Any] = json.loads((target / "semantic_manifest.json").read_text(encoding="utf-8"))
    for made_from in [*semantics["semantic_models"], *semantics["project_configuration"]["time_spines"]]:
        relation = made_from["node_relation"]
        relation["schema_name"] = PUBLISHED
        relation["relation_name"] = relation["relation_name"].replace(f'"{WORKING}".', f'"{PUBLISHED}".')
    return semantics


def _name_as_published(node: dict[str, Any]) -> None:
    """dbt builds in a schema that nobody reads; analysts know a relation by the name of its published copy."""
    node["schema"] = node["config"]["schema"] = PUBLISHED
    for text in ("relation_name", "compiled_code"):
        node[text] = (node.get(text) or "").replace(f'"{WORKING}".', f'"{PUBLISHED}".')


def _run_dbt(settings: Settings, *arguments: str) -> None:
    variables = environment(settings, conninfo(settings))
    try:
        result = run_dbt(settings, arguments, variables=variables, target=_TARGET, writes_json=True)
    except BuildFailed as error:
        raise DocsFailed(f"dbt could not describe the models. {error}") from None
    failed = [in_one_line(each.message) for each in getattr(result, "results", []) if each.status == "error"]
    # Of the catalogue, which has no results.
    failed += map(in_one_line, getattr(result, "errors", None) or [])
    if failed:
        raise DocsFailed(f"dbt could not describe the models: {failed[0]}")


def _page(manifest: dict[str, Any], catalog: dict[str, Any]) -> str:
    from dbt.task.docs import DOCS_INDEX_FILE_PATH

    page = Path(DOCS_INDEX_FILE_PATH).read_text(encoding="utf-8")
    filled = {_PLACES["manifest"]: _inlined(manifest), _PLACES["catalog"]: _inlined(catalog), _TITLE: _HEAD}
    for place, content in filled.items():
        if page.count(place) != 1:
            raise DocsFailed("dbt's page is not the one of dbt 1.11: install the version that requirements.lock names.")
        page = page.replace(place, content)
    return page


def _inlined(artifact: dict[str, Any]) -> str:
    """JSON inside a script: without any `<`, so that no text in it can end the script."""
    return json.dumps(artifact, separators=(",", ":")).replace("<", "\\u003c")
