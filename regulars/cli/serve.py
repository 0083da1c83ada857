"""`regulars serve`."""

from rich.console import Console

from flows.serving import serve as keep_serving
from ingest.storage.settings import Settings


def serve() -> None:
    """Refresh every day at REGULARS_REFRESH_AT in REGULARS_TIME_ZONE, until stopped."""
    settings = Settings.from_environment()
    Console(highlight=False).print(
        f"A refresh runs every day at {settings.refresh_at:%H:%M} {settings.time_zone}. Stop with Ctrl-C."
    )
    keep_serving(settings)
