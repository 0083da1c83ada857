"""The settings. This is the only module that reads them from the environment."""

import os
import re
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from ingest.storage.errors import SettingError
from ingest.storage.time_zones import require_zone


def _split(listed: object) -> object:
    if isinstance(listed, str):
        return [one.strip() for one in listed.split(",") if one.strip()]
    return listed


def _split_at_blanks(listed: object) -> object:
    return listed.split() if isinstance(listed, str) else listed


def _require_long_tokens(tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(token.get_secret_value()) < 16 for token in tokens):
        raise ValueError("each token needs at least 16 characters; separate several with commas")
    return tokens


# As a browser sends it: in lower case, without a path and without the scheme's own port.
_ORIGIN = re.compile(r"(http(?!\S+:80$)|https(?!\S+:443$))://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")


def _require_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("an origin is a scheme and a host, such as https://shop.example: no path, no *, no capitals")
    return origins


def _require_long_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < 32:
        raise ValueError("is shorter than 32 characters")
    return key


Engine = Literal["postgres", "spark"]


class Settings(BaseModel):
    """Each field is an environment variable: its alias, or `REGULARS_` and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str | None = Field(None, alias="DATABASE_URL", min_length=1)
    """The database, PostgreSQL 15 to 18. Unset: an embedded server under `home`."""

    home: Path = Path(".regulars")
    """The folder for local files: the spool, the embedded PostgreSQL, dbt's target, Prefect's database."""

    refresh_at: time = time(2, 30)
    """The time of day at which `regulars serve` refreshes, in `time_zone`."""

    time_zone: Annotated[str, AfterValidator(require_zone)] = "Africa/Accra"
    """The time zone of `refresh_at`. Each shop has a time zone of its own."""

    refresh_every: int | None = Field(None, ge=1, le=24 * 60)
    """The number of minutes after which `regulars serve` refreshes during the day, too. Unset: only at `refresh_at`."""

    track_budget_ms: int = Field(250, ge=10, le=60_000)
    """The most milliseconds that tracking may cost a checkout."""

    track_connections: int = Field(4, ge=1, le=100)
    """The most database connections of a checkout's process."""

    ingest_tokens: Annotated[tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_require_long_tokens)] = ()
    """The bearer tokens that the ingest API accepts, separated by commas; during a rotation, two."""

    erasure_key: Annotated[SecretStr, AfterValidator(_require_long_key)] | None = None
    """The key of the hashes of erased people's phones: at least 32 characters, the same wherever Regulars runs."""

    jwt_secret: Annotated[SecretStr, AfterValidator(_require_long_key)] | None = None
    """The key that signs owners' tokens (HS256) and sign-in links: at least 32 characters."""

    jwks_file: Path | None = None
    """A JWKS with the public keys of other issuers of owners' tokens (RS256, ES256 or EdDSA). Read again on change."""

    jwt_audience: str = Field("authenticated", min_length=1)
    """The audience that tokens for the API must name. The default is Supabase's."""

    dashboard_url: str = Field("http://127.0.0.1:8086", pattern="^https?://[^/?#]+(/[^?#]*)?$")
    """The address at which owners reach the dashboard; sign-in links begin with it."""

    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_require_origins)] = ()
    """The origins whose pages may read the owners' API from a browser, separated by commas. Unset: none."""

    sign_in_url: str | None = Field(None, pattern="^https?://[^/?#]+(/.*)?$")
    """The storefront's page from which owners open the dashboard: who isn't signed in is sent there by a button."""

    dashboard_database_url: str | None = Field(None, min_length=1)
    """The dashboard's own database URL, for a user who is only a member of regulars_owner. Unset: DATABASE_URL."""

    dashboard_connections: int = Field(4, ge=1, le=100)
    """The most database connections of the dashboard's process."""

    dashboard_timeout_ms: int = Field(5000, ge=100, le=60_000)
    """The most milliseconds that a query of the dashboard may take."""

    stale_after_hours: int = Field(26, ge=1, le=24 * 365)
    """The age at which numbers are called stale, and `regulars serve` is not ready. The default is a day and two hours:
    a nightly refresh was missed."""

    alarm_urls: Annotated[tuple[SecretStr, ...], BeforeValidator(_split_at_blanks)] = ()
    """Who is told of alarms: addresses of Apprise (a webhook, e-mail), separated by blanks. Unset: nobody."""

    threads: int = Field(2, ge=1, le=16)
    """The number of models that a rebuild builds at once. A refresh builds one fewer, at least one."""

    engine: Engine = "postgres"
    """Where everything is computed when it is computed anew. With `spark`, every refresh that has something to do is a
    rebuild there."""

    spark_folder: Path | None = None
    """Where Spark's files are while it computes: of the raw rows, and of what it makes. Unset: `spark` under `home`."""

    spark_master: str = Field("local[*]", min_length=1)
    """Where Spark runs: `local[N]` is N threads of this machine, `*` all of them; `spark://…` is a cluster."""

    spark_memory: str = Field("2g", pattern="^[1-9][0-9]*[mg]$")
    """The memory of Spark's Java process, such as `4g`; on a cluster, of each one that computes, too."""

    reconcile_orders: int = Field(200_000, ge=1)
    """The most raw orders that a refresh adds up again to check the marts; shops unchecked for longest come first."""

    prefect_api_url: str | None = Field(None, alias="PREFECT_API_URL")
    """A Prefect server. If set, every refresh runs as a flow that is visible there."""

    prefect_port: int = Field(4200, ge=1, le=65535)
    """The loopback port on which `regulars serve` starts its own Prefect server, and its pages."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Raises SettingError, which names each variable that can't be read."""
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

    def with_engine(self, engine: Engine | None) -> Self:
        """These settings with another engine, if one is given."""
        return self if engine is None else self.model_copy(update={"engine": engine})


def _variable(location: str) -> str:
    return location if location.isupper() else f"REGULARS_{location.upper()}"
