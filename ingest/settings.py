"""The settings, read from the environment here and nowhere else."""

import os
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ingest.errors import SettingError


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone such as Africa/Accra") from None
    return name


class Settings(BaseModel):
    """Each field is an environment variable, `REGULARS_` and its name in capitals, or the alias given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str | None = Field(None, alias="DATABASE_URL", min_length=1)
    """A PostgreSQL 15 to 18. Unset: an embedded one under `home`."""

    home: Path = Path(".regulars")
    """Where a run keeps what it needs: the embedded PostgreSQL, dbt's target, Prefect's database."""

    refresh_at: time = time(2, 30)
    """When `regulars serve` refreshes, every day, in `time_zone`."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = "Africa/Accra"
    """The zone of `refresh_at`. Shops have zones of their own."""

    track_budget_ms: int = Field(250, ge=10, le=60_000)
    """How long a checkout waits for tracking at most, in milliseconds."""

    track_connections: int = Field(4, ge=1, le=100)
    """How many connections a checkout's process holds at most."""

    threads: int = Field(2, ge=1, le=16)
    """How many models dbt builds at once."""

    reconcile_orders: int = Field(200_000, ge=1)
    """How many raw orders a refresh re-adds to check the marts, the longest unchecked shops first."""

    prefect_api_url: str | None = Field(None, alias="PREFECT_API_URL")
    """A Prefect server. Set, every refresh runs as a flow that shows in it."""

    prefect_port: int = Field(4200, ge=1, le=65535)
    """Where `regulars serve` starts a Prefect server of its own, on loopback."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises SettingError, naming each variable that can't be read."""
        given = {}
        for name, field in cls.model_fields.items():
            variable = field.alias or f"REGULARS_{name.upper()}"
            if environment.get(variable, "") != "":
                given[field.alias or name] = environment[variable]
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{_variable(str(e['loc'][0]))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
            )
            raise SettingError(f"A setting can't be read: {wrong}.") from None


def _variable(location: str) -> str:
    return location if location.isupper() else f"REGULARS_{location.upper()}"
