"""The dbt project: where it is, what it contains, and how to run it in this process."""

import gc
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from flows.errors import BuildFailed
from flows.lock import PATIENCE, SESSION
from flows.nodes import NodeEvent, Watch, ignore
from flows.shapes import PUBLISHED, WORKING
from ingest.storage.settings import Settings

# For every connection of a build, besides those of a whole refresh: a policy that would hide rows raises instead of
# leaving tables empty, and short queries aren't compiled.
_SESSION = SESSION | {"row_security": "off", "jit": "off", "timezone": "UTC"}

# Each folder's schemas, and the kind of its relations in each. Readers see copies of all models but staging's.
_FOLDERS = {
    "staging": {"staging": "v"},
    "marts": {WORKING: "r", PUBLISHED: "r"},
    "checks": {WORKING: "v", PUBLISHED: "v"},
    "dashboard": {WORKING: "m", PUBLISHED: "r"},
    "current": {WORKING: "v", PUBLISHED: "v"},
}

# What profiles.yml or we set for a connection; dbt's driver takes all else from libpq's variables.
_IN_PROFILE = {"host", "port", "user", "password", "dbname", "sslmode", "connect_timeout", "options"}

# The part of a message by Java and dbt's adapter that says what is wrong.
_SPARK_SAYS = re.compile(r"\[[A-Z][A-Z0-9_.]+\] .*")

# Of Jinja and SQL, and of YAML where a line has nothing else.
_COMMENTS = {".sql": re.compile(r"\{#.*?#\}|--[^\n]*", re.DOTALL), ".yml": re.compile(r"^\s*#[^\n]*", re.MULTILINE)}


def project_folder() -> Path:
    """The root of the checkout, or the copy in the installed package."""
    flows = Path(__file__).resolve().parents[1]
    for folder in (flows.parent, flows / "project"):
        if (folder / "dbt_project.yml").exists():
            return folder
    raise FileNotFoundError("dbt_project.yml")


def fingerprint() -> str:
    """A hash of all models and macros without their comments: where it differs, what changed is recomputed."""
    folder = project_folder()
    digest = hashlib.sha256()
    for path in sorted([folder / "dbt_project.yml", *folder.glob("models/**/*"), *folder.glob("macros/**/*")]):
        # Unit tests, exposures and metrics change no number.
        if path.is_file() and not (
            path.parent.name == "semantic" or path.stem.endswith(("__unit_tests", "__exposures"))
        ):
            text = without_comments(path.read_text(encoding="utf-8"), path.suffix)
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + text.encode())
    return digest.hexdigest()[:16]


def without_comments(text: str, suffix: str) -> str:
    """A model, macro or description without its comments and without empty lines."""
    if (comment := _COMMENTS.get(suffix)) is not None:
        text = comment.sub("", text)
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def dbt_project_text() -> str:
    """dbt_project.yml without its comments."""
    return without_comments((project_folder() / "dbt_project.yml").read_text(encoding="utf-8"), ".yml")


@dataclass(frozen=True, slots=True)
class Relation:
    """A model's relation in the database. `kind` is PostgreSQL's relkind: a table, view or materialized view."""

    schema: str
    name: str
    kind: str


def relations() -> list[Relation]:
    """The relations that the models make, from the names of their files: dbt takes seconds to read them."""
    return [
        Relation(schema, path.stem, kind)
        for folder, schemas in _FOLDERS.items()
        for schema, kind in schemas.items()
        for path in sorted((project_folder() / "models" / folder).glob("**/*.sql"))
    ]


def environment(settings: Settings, conninfo: str, *, patience: float = PATIENCE) -> dict[str, str]:
    """The variables that profiles.yml reads, and libpq's own for the rest: so dbt connects as everything else does.

    libpq's defaults fill in what the connection string leaves out.
    """
    given = _with_defaults(conninfo)
    user = given.get("user", "")
    others = conninfo_to_dict(conninfo).keys() - _IN_PROFILE
    return {
        option.envvar.decode(): given[option.keyword.decode()]
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword.decode() in others
    } | {
        "REGULARS_DBT_HOST": given.get("host", ""),
        "REGULARS_DBT_PORT": given.get("port", "5432"),
        "REGULARS_DBT_USER": user,
        "DBT_ENV_SECRET_PASSWORD": given.get("password", ""),
        "REGULARS_DBT_DBNAME": given.get("dbname", user),
        "REGULARS_DBT_SSLMODE": given.get("sslmode", "prefer"),
        "REGULARS_DBT_THREADS": str(settings.threads),
        "PGOPTIONS": session_options(conninfo, patience=patience),
    }


def session_options(conninfo: str, *, patience: float) -> str:
    """libpq's options for every connection of a build, after those of the connection string.

    `patience`: how many seconds it waits for a lock.
    """
    settings = _SESSION | {"lock_timeout": round(patience * 1000)}
    ours = (f"-c {name}={value}" for name, value in settings.items())
    return " ".join([_with_defaults(conninfo).get("options", ""), *ours]).strip()


def _with_defaults(conninfo: str) -> dict[str, str]:
    """The connection string, completed by libpq's own variables and defaults."""
    defaults = {option.keyword.decode(): option.val.decode() for option in pq.Conninfo.get_defaults() if option.val}
    return defaults | {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True, slots=True)
class Built:
    """How long each model and test took, by dbt's id, and the names of the tests that warned."""

    seconds: dict[str, float]
    warnings: tuple[str, ...]


def build(
    settings: Settings,
    conninfo: str,
    *arguments: str,
    patience: float = PATIENCE,
    target: str = "target",
    watch: Watch = ignore,
    see: Callable[[Any, list[tuple[str, str]]], None] = lambda results, statements: None,  # noqa: ARG005
) -> Built:
    """Runs `dbt build` inside this process. Raises BuildFailed, which names each model and test that failed.

    `patience`: how many seconds each statement waits for a lock. `target`: the folder of what dbt has parsed, one for
    each set of variables. `watch` is called for each node that begins or ends. `see` is called after a success, with
    dbt's results and every statement that it ran, each with the id of its model or test.
    """
    result, statements = _invoke(
        settings,
        conninfo,
        ["build", "--exclude-resource-type", "unit_test", *arguments],
        patience=patience,
        target=target,
        watch=watch,
    )
    results = list(result)
    built = judge(results)
    see(results, statements)
    return built


def judge(results: Sequence[Any]) -> Built:
    """The outcome of a build. Raises BuildFailed, which names each model and test that failed."""
    failed = [f"{r.node.name}: {in_one_line(r.message)}" for r in results if r.status in ("error", "fail")]
    if failed:
        raise build_failed(failed)
    return Built(
        seconds={r.node.unique_id: r.execution_time for r in results},
        warnings=tuple(r.node.name for r in results if r.status == "warn"),
    )


def read(settings: Settings, conninfo: str, *, patience: float = PATIENCE) -> Any:
    """dbt's manifest of the project. Raises BuildFailed, in dbt's words, if it can't be read."""
    manifest, _ = _invoke(settings, conninfo, ["parse"], patience=patience, target="target", watch=ignore)
    return manifest


def build_failed(failed: Sequence[str]) -> BuildFailed:
    return BuildFailed("The build failed; the last good numbers stay up. " + "; ".join(failed))


def _invoke(
    settings: Settings, conninfo: str, arguments: Sequence[str], *, patience: float, target: str, watch: Watch
) -> tuple[Any, list[tuple[str, str]]]:
    """dbt's result of a command, and the statements that it ran, each with the id of its node."""
    _import_dbt()
    from flows.building.connections import KeptConnections, keep_connections

    keep_connections()
    variables = environment(settings, conninfo, patience=patience)
    with KeptConnections.recording() as ran:
        return run_dbt(settings, arguments, variables=variables, target=target, watch=watch), ran


def run_dbt(
    settings: Settings,
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str],
    target: str,
    watch: Watch = ignore,
    writes_json: bool = False,
) -> Any:
    """dbt's result of a command inside this process, with what profiles.yml reads in `variables`.

    With `writes_json` dbt's artifacts are in the folder `target` afterwards. Raises BuildFailed if dbt did not start;
    which of its nodes failed is in the results.
    """
    _import_dbt()
    from dbt.cli.main import dbtRunner

    folder = project_folder()
    home = settings.home.resolve()
    parsed = home / "dbt" / target / "fingerprint"
    # Read before dbt runs: after a release that comes meanwhile, dbt must parse again.
    wanted = fingerprint()
    is_parsed = parsed.exists() and parsed.read_text() == wanted
    with _variables(variables), without_collection():
        outcome = dbtRunner(callbacks=[_told_to(watch)]).invoke(
            [
                "--quiet",
                "--log-level", "none",
                # What failed is in BuildFailed. Nobody reads the rest.
                "--log-level-file", "none",
                "--log-path", str(home / "dbt" / "logs"),
                *([] if writes_json else ["--no-write-json"]),
                "--no-use-colors",
                # dbt doesn't notice a file that has its earlier text and time again, as after a release was taken back.
                *([] if is_parsed else ["--no-partial-parse"]),
                *arguments,
                "--project-dir", str(folder),
                "--profiles-dir", str(folder),
                "--target-path", str(home / "dbt" / target),
            ]
        )  # fmt: skip
    if outcome.result is None:
        raise BuildFailed(f"dbt did not start: {in_one_line(str(outcome.exception))}")
    if not is_parsed:
        parsed.write_text(wanted)
    return outcome.result


def _told_to(watch: Watch) -> Callable[[Any], None]:
    """Passes on dbt's events about nodes. dbt calls it for each of its many events, so it checks the name first."""
    total = 0

    def hear(event: Any) -> None:
        nonlocal total
        if (name := event.info.name) == "NodeStart":
            watch(NodeEvent(event.data.node_info.unique_id, total))
        elif name == "NodeFinished":
            node_id, result = event.data.node_info.unique_id, event.data.run_result
            watch(
                NodeEvent(
                    node_id,
                    total,
                    result.execution_time,
                    has_failed=result.status in ("error", "fail"),
                    is_skipped=result.status == "skipped",
                )
            )
        elif name == "ConcurrencyLine":
            total = event.data.node_count

    return hear


@cache
def _import_dbt() -> None:
    """Imports dbt, which takes seconds: only a build does."""
    with without_collection():
        import dbt.adapters.postgres
        import dbt.cli.main  # noqa: F401
        from dbt_common.behavior_flags import BehaviorFlagRendered

        # For a warning that nobody reads, each build would read the sources of the whole call stack, once for each of
        # dbt's flags, and each build of a process adds a flag.
        BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]

        # All of this lasts, so the garbage collector need not examine it again and again.
        gc.freeze()


@contextmanager
def without_collection() -> Iterator[None]:
    """Turns the garbage collector off: most objects of a build last until its end."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def in_one_line(message: str | None) -> str:
    """The message of dbt or Spark in one line, without the values of DETAIL and without Java's stack."""
    lines = [line.strip() for line in (message or "no message").splitlines() if line.strip()]
    if said := next((found[0] for line in lines if (found := _SPARK_SAYS.search(line))), None):
        return said if said == lines[0] else f"{lines[0]}: {said}"
    hints = [line.removeprefix("HINT:").strip() for line in lines if line.startswith("HINT:")]
    return ". ".join([" ".join(lines[:2]), *hints])
