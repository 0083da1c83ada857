"""What `regulars serve` keeps up: each part is a process."""

import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from flows.scheduling.prefect_server import server_environment
from ingest.storage.embedded import embedded_address
from ingest.storage.settings import Settings


class Removable(StrEnum):
    """A part that can be left out."""

    PREFECT = "prefect"
    DASHBOARD = "dashboard"
    INGEST_API = "ingest-api"


@dataclass(frozen=True, slots=True)
class Part:
    """A process. `health`: an address that answers 200 while it works. `log`: where its output goes, if not to ours."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    health: str | None = None
    log: Path | None = None
    # The signal that it gets when this process is killed. All but the database are safe to be killed at any moment.
    orphaned: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Ports:
    """Where we listen. Prefect's server is always on loopback, at the port of its setting."""

    host: str = "127.0.0.1"
    dashboard: int = 8086
    ingest_api: int = 8085
    health: int = 8087


def database_part(settings: Settings) -> Part | None:
    """The embedded PostgreSQL; None where DATABASE_URL names another."""
    if settings.database_url is not None:
        return None
    return Part("database", "regulars.serving.database", orphaned=signal.SIGTERM)


def other_parts(settings: Settings, ports: Ports, *, left_out: Collection[Removable]) -> Iterator[Part]:
    """The parts that need the database, in the order in which they start."""
    # A process that had started the embedded server by itself would keep it up.
    environment = {
        "DATABASE_URL": settings.database_url or embedded_address(settings.home),
        # glibc's heap for each thread costs the parts with many threads some ten megabytes each.
        "MALLOC_ARENA_MAX": "2",
    }
    if Removable.PREFECT not in left_out:
        environment |= server_environment(settings)
        yield Part(
            "prefect",
            "prefect",
            ("server", "start", "--host", "127.0.0.1", "--port", str(settings.prefect_port)),
            environment,
            health=f"{environment['PREFECT_API_URL']}/health",
            log=settings.home / "prefect.log",
        )
    yield Part("refresh", "regulars.serving.refresh", environment=environment)
    if Removable.DASHBOARD not in left_out:
        yield _web("dashboard", ports.host, ports.dashboard, environment)
    if Removable.INGEST_API not in left_out:
        yield _web("ingest-api", ports.host, ports.ingest_api, environment)


def _web(command: str, host: str, port: int, environment: Mapping[str, str]) -> Part:
    # What listens on every address answers on loopback, too.
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    here = f"[{here}]" if ":" in here else here
    return Part(
        command,
        "regulars",
        (command, "--host", host, "--port", str(port)),
        environment,
        health=f"http://{here}:{port}/healthz",
    )
