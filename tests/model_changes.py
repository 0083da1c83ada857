"""The ways in which models change: columns, types, keys, indexes, queries; models that come and go."""

from collections.abc import Callable

from tests.project import Project

_PROFIT_IN_YML = """      - name: total_profit
        description: "The shop's profit of these sales, in the shop's currency."
        data_type: numeric
        constraints:
          - type: not_null
"""
_NETWORK_IN_YML = """      - name: preferred_network
        description: The network ordered most often; of several, the one ordered last. Null where no order named one.
        data_type: text
"""


def add_a_column(project: Project) -> None:
    project.change(
        "marts/customers.sql",
        ("max(ordered_at) as last_purchase_at,", "max(ordered_at) as last_purchase_at,\n max(net_amount) as largest,"),
        ("        last_purchase_at,\n", "        last_purchase_at,\n        largest,\n"),
    )
    project.change(
        "marts/_marts__models.yml",
        (
            "      - name: first_purchase_month\n",
            "      - name: largest\n        description: Net amount of the largest sale.\n        data_type: numeric\n"
            "        constraints:\n          - type: not_null\n      - name: first_purchase_month\n",
        ),
    )


def take_columns_out(project: Project) -> None:
    project.change(
        "marts/customers.sql",
        ("        sum(profit_amount) as total_profit,\n", ""),
        ("        total_profit,\n", ""),
        ("        preferred_network,\n", ""),
    )
    project.change("marts/_marts__models.yml", (_PROFIT_IN_YML, ""), (_NETWORK_IN_YML, ""))


def change_types(project: Project) -> None:
    """Of a column that views sum up, and of one in a key."""
    project.change("marts/shop_days.sql", ("'sales': 'bigint'", "'sales': 'numeric'"))
    project.change(
        "marts/slug_months.sql", ("    month\nfrom summands", "    cast(month as text) as month\nfrom summands")
    )
    project.change(
        "marts/_marts__sums.yml",
        (
            "      - name: sales\n        description: Orders of the day that are sales.\n        data_type: bigint",
            "      - name: sales\n        description: Orders of the day that are sales.\n        data_type: numeric",
        ),
        (
            'of the visit for `visits`, of the order for all else."\n        data_type: date',
            'of the visit for `visits`, of the order for all else."\n        data_type: text',
        ),
    )


def change_indexes(project: Project) -> None:
    project.change(
        "marts/customers.sql",
        (
            "{'columns': ['shop_id', 'total_spent', 'shop_customer_id']},",
            "{'columns': ['shop_id', 'repeat_customer', 'shop_customer_id']},",
        ),
    )


def change_a_key(project: Project) -> None:
    """Its columns in another order."""
    project.change(
        "marts/slug_months.sql",
        ("unique_key=['shop_id', 'slug', 'month']", "unique_key=['shop_id', 'month', 'slug']"),
        ("'columns': ['shop_id', 'slug', 'month']", "'columns': ['shop_id', 'month', 'slug']"),
    )
    project.change("marts/_marts__sums.yml", ("columns: [shop_id, slug, month]", "columns: [shop_id, month, slug]"))


def change_a_query(project: Project) -> None:
    project.change(
        "dashboard/slug_analytics.sql",
        (
            "round(1.0 * converted_visits / nullif(visits, 0), 4) as conversion_rate",
            "round(1.0 * converted_visits / nullif(visits, 0), 4) as conversion_rate,\n"
            "    visits - converted_visits as others",
        ),
    )
    project.change(
        "dashboard/_dashboard__models.yml",
        (
            "      - name: customers\n        description: Customers with a sale by the link;",
            "      - name: others\n        description: Visits without a sale.\n        data_type: bigint\n"
            "      - name: customers\n        description: Customers with a sale by the link;",
        ),
    )


_NEW_MART = """
{{ config(
    incremental_strategy='sum_deltas',
    unique_key=['shop_id', 'network'],
    indexes=[{'columns': ['shop_id', 'network'], 'unique': true}]
) }}

select
    shop_id,
    coalesce(network, 'unknown') as network,
    sum(weight) as orders
from {{ signed_rows(ref('orders')) }}
group by shop_id, coalesce(network, 'unknown')
"""

_NEW_MART_IN_YML = """
models:
  - name: networks
    description: Orders of a network. One row per shop and network.
    columns:
      - {name: shop_id, description: The shop., data_type: uuid, constraints: [{type: not_null}]}
      - {name: network, description: The network., data_type: text, constraints: [{type: not_null}]}
      - {name: orders, description: Orders for it., data_type: bigint, constraints: [{type: not_null}]}
"""

_NEW_VIEW = """
{{ config(indexes=[{'columns': ['shop_id'], 'unique': true}]) }}

select shop_id, count(*) as networks from {{ ref('networks') }} group by shop_id
"""

_NEW_VIEW_IN_YML = """
models:
  - name: network_counts
    description: How many networks are ordered. One row per shop.
    columns:
      - {name: shop_id, description: The shop., data_type: uuid}
      - {name: networks, description: Networks ordered., data_type: bigint}
"""


def add_models(project: Project) -> None:
    project.write("marts/networks.sql", _NEW_MART)
    project.write("marts/_networks.yml", _NEW_MART_IN_YML)
    project.write("dashboard/network_counts.sql", _NEW_VIEW)
    project.write("dashboard/_network_counts.yml", _NEW_VIEW_IN_YML)


def take_models_out(project: Project) -> None:
    for path in ("marts/networks.sql", "marts/_networks.yml"):
        project.remove(path)
    for path in ("dashboard/network_counts.sql", "dashboard/_network_counts.yml"):
        project.remove(path)


CHANGES: tuple[Callable[[Project], None], ...] = (
    add_a_column,
    change_types,
    take_columns_out,
    change_indexes,
    change_a_key,
    change_a_query,
    add_models,
    take_models_out,
)
"""In an order in which each can follow those before it."""
