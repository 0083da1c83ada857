"""Rules of the dbt project, as data: each is a query over the manifest that must find nothing."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import GenericTestNode, ModelNode, SingularTestNode

from flows.building.project import project_folder

_ROOT = project_folder()

# What others rely on, in schema `analytics`: these relations, with these columns and any number more.
_PUBLISHED = {
    "orders": "order_id shop_id shop_customer_id ordered_at order_date order_month is_sale gross_amount "
    "refunded_amount net_amount profit_amount network slug",
    "customers": "shop_customer_id shop_id first_purchase_at last_purchase_at first_purchase_month "
    "total_purchases total_spent total_profit average_order_value repeat_customer first_source_slug "
    "last_source_slug preferred_network",
    "shop_days": "shop_id order_date sales customers gross_amount refunded_amount net_amount profit_amount",
    "shop_overview": "shop_id available_balance total_profit total_orders pending_withdrawals "
    "total_customers repeat_customers repeat_percentage average_ltv customer_revenue refreshed_at",
    "monthly_acquisition": "shop_id month new_customers returning_customers active_customers sales net_amount",
    "repeat_rates": "shop_id month customers repeat_customers repeat_rate",
    "slug_analytics": "shop_id slug visits sales customers new_customers net_amount conversion_rate",
    "cohort_retention": "shop_id cohort_month months_since cohort_size active_customers retention_rate net_amount",
}

# Which folders a folder's models may read. Sources are staging's alone.
_MAY_READ = {
    "staging": {"staging"},
    "marts": {"staging", "marts"},
    "dashboard": {"marts"},
    "checks": {"staging", "marts"},
    "current": {"marts", "dashboard"},
}

# How a folder's models are built, in the working schema; publishing copies them.
_BUILT_AS = {
    "staging": "view",
    "marts": "incremental",
    "dashboard": "materialized_view",
    "checks": "view",
    "current": "view",
}

# What a column's name says of its type. Money is numeric, never float; times know their zone.
_TYPE_BY_NAME = {
    r"_at$": "timestamp with time zone",
    r"^(?!is_|has_)(?!.*(_to_date|_per_month)$)(.*_)?(date|month)$": "date",
    r"^(is|has)_": "boolean",
    r"(_amount|_profit|_spent|_value|^amount|^withdrawn)$": "numeric",
    r"^(?!fit_id$).*_id$": "uuid",
}

_NUMERIC = re.compile(
    r"(amount|profit|spent|value|withdrawn|balance|revenue|ltv|rate|percentage|volume_gb|total_price)$"
    r"|_amount(_\d+|_to_date)$|per_customer(_\d+)?$|share(_of_\w+)?$|^median_|^gap_days$|_per_month$"
    # What a forecast expects is a fraction, and its fit has the letters of the literature.
    r"|^expected_|_error$|_likelihood$|^probability_alive$|^(r|alpha|a|b|p|q|v)$"
)

_PERSONAL = re.compile(r"phone|e-?mail|customer_name", re.IGNORECASE)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    target, folder = str(tmp_path_factory.mktemp("target")), str(_ROOT)
    outcome = dbtRunner().invoke(
        [
            *("--quiet", "--log-level-file", "none", "--log-path", target, "parse"),
            *("--project-dir", folder, "--profiles-dir", folder, "--target-path", target),
        ]
    )
    assert isinstance(outcome.result, Manifest), outcome.exception
    return outcome.result


def _models(manifest: Manifest, *folders: str) -> list[ModelNode]:
    return [
        node
        for node in manifest.nodes.values()
        if isinstance(node, ModelNode) and (not folders or _folder(node) in folders)
    ]


def _folder(node: ModelNode) -> str:
    return Path(node.original_file_path).parts[1]


def _unique_keys(manifest: Manifest, model: ModelNode) -> list[list[str]]:
    return [
        node.test_metadata.kwargs["columns"]
        for node in manifest.nodes.values()
        if isinstance(node, GenericTestNode)
        and node.test_metadata.name == "unique_key"
        and node.attached_node == model.unique_id
        and node.config.severity.lower() == "error"
    ]


def a_description_opens_with_what_a_row_is(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest):
        if "One row per " not in model.description.strip().split("\n\n")[0]:
            yield model.name
    for source in manifest.sources.values():
        if "One row per " not in source.description:
            yield source.identifier


def every_column_is_described(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest):
        if not model.columns:
            yield model.name
        yield from (f"{model.name}.{c.name}" for c in model.columns.values() if not c.description.strip())


def only_staging_reads_sources(manifest: Manifest) -> Iterator[str]:
    for name, node in manifest.nodes.items():
        if not (isinstance(node, ModelNode) and _folder(node) == "staging"):
            yield from (f"{name}: {read}" for read in node.depends_on_nodes if read.startswith("source."))


def every_source_table_is_read(manifest: Manifest) -> Iterator[str]:
    read = {name for node in manifest.nodes.values() for name in node.depends_on_nodes}
    yield from (name for name in manifest.sources if name not in read)


def models_read_what_stands_below_them(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest):
        for name in model.depends_on_nodes:
            below = manifest.nodes.get(name)
            if isinstance(below, ModelNode) and _folder(below) not in _MAY_READ[_folder(model)]:
                yield f"{model.name}: {below.name}"


def a_folders_models_are_built_one_way(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest):
        if model.config.materialized != _BUILT_AS[_folder(model)]:
            yield f"{model.name}: {model.config.materialized}"
        if model.schema != ("staging" if _folder(model) == "staging" else "building"):
            yield f"{model.name}: {model.schema}"


def everything_in_analytics_has_a_contract(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest, "marts", "dashboard", "checks", "current"):
        if not model.config.contract.enforced:
            yield model.name
        yield from (f"{model.name}.{column.name}" for column in model.columns.values() if not column.data_type)


def descriptions_are_kept_in_the_database(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest, "marts", "dashboard", "checks", "current"):
        if model.config.persist_docs != {"relation": True, "columns": True}:
            yield f"{model.name}: {model.config.persist_docs}"


def every_key_is_tested_and_indexed_and_starts_with_the_shop(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest, "marts", "dashboard", "current"):
        if model.time_spine:  # Days, of no shop.
            continue
        tested = _unique_keys(manifest, model)
        indexed = [index["columns"] for index in model.config.extra.get("indexes", []) if index.get("unique")]
        if (
            not tested
            or (tested != indexed and _folder(model) != "current")
            or any(key[0] != "shop_id" for key in tested)
        ):
            yield f"{model.name}: tested {tested}, indexed {indexed}"
        if _folder(model) == "marts" and [model.config.unique_key] != tested:
            yield f"{model.name}: replaced by {model.config.unique_key}"


def no_mart_knows_a_person(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest, "marts", "dashboard", "checks", "current"):
        yield from (f"{model.name}.{name}" for name in model.columns if _PERSONAL.search(name))
        if _PERSONAL.search(model.raw_code):
            yield model.name


def every_text_is_searched_for_contacts(manifest: Manifest) -> Iterator[str]:
    audit = next(node for node in manifest.nodes.values() if node.name == "assert_no_text_looks_like_a_contact")
    # The one text of `reconciliation` is the name of a mart.
    searched = {*audit.depends_on_nodes, "model.regulars.reconciliation"}
    for model in _models(manifest, "marts", "dashboard", "checks", "current"):
        if model.unique_id not in searched:
            yield from (f"{model.name}.{c.name}" for c in model.columns.values() if c.data_type == "text")
        # It searches the columns of this type alone.
        yield from (f"{model.name}.{c.name}" for c in model.columns.values() if re.search("char|json|\\[", c.data_type))


def a_type_is_what_its_columns_name_says(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest, "marts", "dashboard", "checks", "current"):
        for column in model.columns.values():
            # What is neither money nor a share is counted, and a count is no numeric.
            if column.data_type == "numeric" and not _NUMERIC.search(column.name):
                yield f"{model.name}.{column.name}: {column.data_type}"
            if re.search(r"float|real|double|without time zone|^timestamp$", column.data_type or "float"):
                yield f"{model.name}.{column.name}: {column.data_type}"
            for pattern, data_type in _TYPE_BY_NAME.items():
                if re.search(pattern, column.name) and column.data_type != data_type:
                    yield f"{model.name}.{column.name}: {column.data_type}"


def every_join_names_the_shop(manifest: Manifest) -> Iterator[str]:
    for model in _models(manifest):
        code = re.sub(r"--.*", "", model.raw_code)
        for joined in re.split(r"\b(?:inner|left|right|full)\s+join\b", code)[1:]:
            join = re.split(r"\b(?:where|group by|select|union|cross join)\b", joined)[0]
            if "shop_id" not in join:
                yield f"{model.name}: {' '.join(join.split())}"


def every_published_column_is_there(manifest: Manifest) -> Iterator[str]:
    models = {model.name: model for model in _models(manifest) if model.schema == "building"}
    for name, columns in _PUBLISHED.items():
        missing = set(columns.split()) - (set(models[name].columns) if name in models else set())
        if missing:
            yield f"{name}: {sorted(missing)}"


def the_dashboard_is_exposed_as_the_reader_of_what_it_reads(manifest: Manifest) -> Iterator[str]:
    exposed = {name.split(".")[-1] for exposure in manifest.exposures.values() for name in exposure.depends_on_nodes}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (_ROOT / "regulars" / "dashboard").rglob("*.py"))
    named = set(re.findall(r"(?:(?:from|join) dashboard\.|\brelation = \")(\w+)\b", code))
    read = named & {model.name for model in _models(manifest)}
    yield from exposed ^ (read | {model.name for model in _models(manifest, "dashboard")})


def a_singular_test_says_what_fails_and_what_does_not(manifest: Manifest) -> Iterator[str]:
    for node in manifest.nodes.values():
        if isinstance(node, SingularTestNode):
            comment = " ".join(line[3:] for line in node.raw_code.splitlines() if line.startswith("-- "))
            if not (
                node.name.startswith("assert_")
                and node.raw_code.startswith("-- Fails for ")
                and "Not a failure: " in comment
            ):
                yield node.name


def only_audits_may_read_a_whole_mart(manifest: Manifest) -> Iterator[str]:
    """A singular test reads all of what it reads: of a large mart only where no nightly refresh runs it, or where it
    keeps to what the refresh wrote."""
    for node in manifest.nodes.values():
        if (
            isinstance(node, SingularTestNode)
            and "audit" not in node.tags
            and not re.search("get_where_subquery|in_changed_shops", node.raw_code)
        ):
            yield from (
                f"{node.name}: {read}"
                for read in node.depends_on_nodes
                if isinstance(mart := manifest.nodes.get(read), ModelNode) and _folder(mart) == "marts"
            )


def every_macro_has_a_file_of_its_own_and_a_description(manifest: Manifest) -> Iterator[str]:
    ours = [macro for macro in manifest.macros.values() if macro.package_name == "regulars"]
    names = {macro.name for macro in ours}
    for macro in ours:
        stem, (engine, _, dispatched) = Path(macro.original_file_path).stem, macro.name.partition("__")
        # dbt describes what it is given; a test's macro is described by its comment, and an engine's by the one in
        # whose file it stands.
        if macro.name.startswith("test_") or (engine in ("postgres", "spark") and stem == dispatched in names):
            continue
        if stem not in (macro.name, macro.name.removeprefix("materialization_").removesuffix("_postgres")):
            yield f"{macro.name} is in {macro.original_file_path}"
        arguments = re.search(rf"macro {macro.name}\((.*?)\)", macro.macro_sql)
        wanted = [part.split("=")[0].strip() for part in arguments[1].split(",")] if arguments and arguments[1] else []
        described = [argument.name for argument in macro.arguments if argument.description]
        if not macro.description or described != wanted:
            yield f"{macro.name}: {described} are described of {wanted}"


_RULES: list[Callable[[Manifest], Iterator[str]]] = [
    a_description_opens_with_what_a_row_is,
    every_column_is_described,
    only_staging_reads_sources,
    every_source_table_is_read,
    models_read_what_stands_below_them,
    a_folders_models_are_built_one_way,
    everything_in_analytics_has_a_contract,
    descriptions_are_kept_in_the_database,
    every_key_is_tested_and_indexed_and_starts_with_the_shop,
    no_mart_knows_a_person,
    every_text_is_searched_for_contacts,
    a_type_is_what_its_columns_name_says,
    every_join_names_the_shop,
    every_published_column_is_there,
    the_dashboard_is_exposed_as_the_reader_of_what_it_reads,
    a_singular_test_says_what_fails_and_what_does_not,
    only_audits_may_read_a_whole_mart,
    every_macro_has_a_file_of_its_own_and_a_description,
]


@pytest.mark.usefixtures("takes_long")
@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.__name__)
def test_nothing_breaks_the_rule(manifest: Manifest, rule: Callable[[Manifest], Iterator[str]]) -> None:
    assert list(rule(manifest)) == []


def test_nothing_merges() -> None:
    """`merge into` is no SQL that every engine the models are to run on speaks."""
    searched = [
        path for folder in ("models", "macros", "tests/dbt", "ingest", "flows", "regulars")
        for path in (_ROOT / folder).rglob("*") if path.suffix in (".sql", ".py")
    ]  # fmt: skip
    assert len(searched) > 40
    merge = re.compile(r"\bmerge\s+into\b", re.IGNORECASE)
    assert [path.name for path in searched if merge.search(path.read_text())] == []
