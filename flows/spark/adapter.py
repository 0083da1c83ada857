"""dbt's adapter for Spark, with the settings that the models count on."""

from functools import cache

from flows.spark.session import MODELS_NEED

_ANSI = "spark.sql.ansi.enabled"

# Without it, a Thrift server ignores the settings.
_OF_A_SERVER = "set:hiveconf:"


@cache
def keep_settings() -> None:
    """For every connection of dbt's to Spark in this process. dbt-spark 1.11 turns ANSI mode off with each of them."""
    from dbt.adapters.spark.connections import SparkCredentials

    before = SparkCredentials.__post_init__

    def after(credentials: SparkCredentials) -> None:
        before(credentials)
        # Our own session was started with them; a server's session begins with the server's settings.
        credentials.server_side_parameters.pop(_ANSI, None)
        if credentials.method == "thrift":
            credentials.server_side_parameters |= {_OF_A_SERVER + name: value for name, value in MODELS_NEED.items()}

    SparkCredentials.__post_init__ = after
