"""The settings, read from the environment here and nowhere else."""

import os
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from ingest.storage.errors import SettingError


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a time zone such as Africa/Accra") from None
    return name


def _split(tokens: object) -> object:
    if isinstance(tokens, str):
        return [token.strip() for token in tokens.split(",") if token.strip()]
    return tokens


def _long_enough(tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(token.get_secret_value()) < 16 for token in tokens):
        raise ValueError("each token has at least 16 characters; commas stand between them")
    return tokens


def _hard_to_guess(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < 32:
        raise ValueError("is shorter than 32 characters")
    return key


class Settings(BaseModel):
    """Each field is an environment variable, `REGULARS_` and its name in capitals, or the alias given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

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

    ingest_tokens: Annotated[tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_long_enough)] = ()
    """What callers of the HTTP door show, separated by commas: several, so that one can be replaced by the next."""

    erasure_key: Annotated[SecretStr, AfterValidator(_hard_to_guess)] | None = None
    """What the hashes of erased people's phones are keyed with; at least 32 characters, the same wherever we run."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_hard_to_guess)] | None = None
    """What owners' tokens are signed with, HS256; at least 32 characters. Sign-in links need it too."""

    jwks_file: Path | None = None
    """Public keys (a JWKS) of who else may sign owners' tokens: RS256, ES256 or EdDSA. Read again when it changes."""

    jwt_audience: str = Field("authenticated", min_length=1)
    """The audience of tokens for the API; as Supabase has it."""

    dashboard_url: str = Field("http://127.0.0.1:8086", pattern="^https?://[^/?#]+(/[^?#]*)?$")
    """Where owners reach the dashboard: what sign-in links begin with."""

    dashboard_database_url: str | None = Field(None, min_length=1)
    """How the dashboard connects; best as a user who is a member of regulars_owner only. Unset: as all else."""

    dashboard_connections: int = Field(4, ge=1, le=100)
    """How many connections the dashboard's process holds at most."""

    dashboard_timeout_ms: int = Field(5000, ge=100, le=60_000)
    """How long a query of the dashboard may take, in milliseconds."""

    stale_after_hours: int = Field(26, ge=1, le=24 * 365)
    """How old numbers may be before they are said to be stale: a night's refresh, and two hours."""

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
