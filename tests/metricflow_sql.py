"""MetricFlow as a writer of SQL: it reads dbt's semantic manifest, and whoever asks runs what it writes."""

from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
from metricflow.protocols.sql_client import SqlEngine
from metricflow.sql.render.postgres import PostgresSQLSqlPlanRenderer
from metricflow_semantic_interfaces.implementations.semantic_manifest import PydanticSemanticManifest
from metricflow_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator
from metricflow_semantics.model.dbt_manifest_parser import parse_manifest_from_dbt_generated_manifest
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup


class _Postgres:
    """The dialect."""

    sql_engine_type = SqlEngine.POSTGRES
    sql_plan_renderer = PostgresSQLSqlPlanRenderer()

    def render_bind_parameter_key(self, bind_parameter_key: str) -> str:
        return f"%({bind_parameter_key})s"


class MetricFlow:
    def __init__(self, manifest: str) -> None:
        self._manifest = PydanticSemanticManifest.parse_raw(manifest)
        lookup = SemanticManifestLookup(parse_manifest_from_dbt_generated_manifest(manifest))
        self._engine = MetricFlowEngine(lookup, _Postgres())  # type: ignore[arg-type]

    def sql(self, metric: str, group_by: list[str]) -> str:
        """A query with a column for each name, and one for the metric."""
        request = MetricFlowQueryRequest.create(metric_names=[metric], group_by_names=group_by)
        return self._engine.explain(request).sql_statement.sql

    def faults(self) -> list[str]:
        """What MetricFlow's own validator finds in the manifest, warnings included."""
        validator = SemanticManifestValidator[PydanticSemanticManifest]()
        found = validator.validate_semantic_manifest(self._manifest)
        return [issue.as_readable_str() for issue in found.all_issues]
