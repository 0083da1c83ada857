"""`regulars serve`."""

import logging
from typing import Annotated

import typer
from rich.console import Console

from ingest.storage.settings import Settings
from regulars.cli.extras import PACKAGES, is_installed
from regulars.serving.parts import Ports, Removable
from regulars.web.logs import log_as_json

_Port = Annotated[int, typer.Option(min=1, max=65535)]


def serve(
    without: Annotated[list[Removable] | None, typer.Option(help="Leave this part out; may be repeated.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; put anything but loopback behind TLS.")] = "127.0.0.1",
    dashboard_port: _Port = 8086,
    ingest_api_port: _Port = 8085,
    health_port: _Port = 8087,
) -> None:
    """Keep everything up until stopped: the database, Prefect, the nightly refresh, the dashboard, the ingest API.

    The refresh runs every day at REGULARS_REFRESH_AT in REGULARS_TIME_ZONE, and at once if the last one was missed. A
    part whose settings are not set is left out. /healthz and /readyz are on the health port.
    """
    # Imported here, because no other command needs a web server's parts.
    from regulars.serving.supervisor import Supervisor

    settings = Settings.from_environment()
    ports = Ports(host=host, dashboard=dashboard_port, ingest_api=ingest_api_port, health=health_port)
    left_out = _reasons_to_leave_out(settings) | dict.fromkeys(without or [], "you said so")
    _introduce(settings, ports, left_out)
    log_as_json()
    # The health port's server has nothing to tell but that it started.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    Supervisor(settings, ports=ports, left_out=left_out).run()


def _reasons_to_leave_out(settings: Settings) -> dict[Removable, str]:
    reasons = {
        Removable(extra): f"it needs pip install 'regulars[{extra}]'" for extra in PACKAGES if not is_installed(extra)
    }
    if settings.prefect_api_url is not None:
        reasons[Removable.PREFECT] = "PREFECT_API_URL names a server that runs elsewhere"
    if settings.jwt_secret is None and settings.jwks_file is None:
        reasons[Removable.DASHBOARD] = "neither REGULARS_JWT_SECRET nor REGULARS_JWKS_FILE is set"
    if not settings.ingest_tokens:
        reasons[Removable.INGEST_API] = "REGULARS_INGEST_TOKENS is not set"
    return reasons


def _introduce(settings: Settings, ports: Ports, left_out: dict[Removable, str]) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    every = f" and every {settings.refresh_every} minutes" if settings.refresh_every else ""
    console.print(f"A refresh runs every day at {settings.refresh_at:%H:%M} {settings.time_zone}{every}.")
    addresses = {
        Removable.PREFECT: f"http://127.0.0.1:{settings.prefect_port}",
        Removable.DASHBOARD: f"http://{ports.host}:{ports.dashboard}",
        Removable.INGEST_API: f"http://{ports.host}:{ports.ingest_api}/api/ingest",
    }
    for part, address in addresses.items():
        console.print(f"{part}: {address}" if part not in left_out else f"{part}: left out, because {left_out[part]}.")
    console.print(f"health: http://{ports.host}:{ports.health}/readyz\nStop with Ctrl-C.")
