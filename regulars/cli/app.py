"""The command and its subcommands."""

import typer

from regulars.cli import (
    check,
    compare,
    customer,
    dashboard,
    dbt,
    demo,
    docs,
    erase,
    ingest_api,
    load,
    migrate,
    move,
    prune,
    refresh,
    serve,
    spool,
    sql,
    status,
    token,
)

app = typer.Typer(
    name="regulars",
    help="Customer analytics for storefronts: who comes back, which link brought them, what they are worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# Passes options that the command doesn't know on to the program that it runs.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("migrate")(migrate.migrate)
app.command("load")(load.load)
app.command("refresh")(refresh.refresh)
app.command("rebuild")(refresh.rebuild)
app.command("status")(status.status)
app.command("check")(check.check)
app.command("compare")(compare.compare)
app.command("serve")(serve.serve)
app.command("ingest-api")(ingest_api.ingest_api)
app.command("dashboard")(dashboard.dashboard)
app.command("token")(token.token)
app.add_typer(spool.spool, name="spool")
app.command("customer")(customer.customer)
app.command("erase")(erase.erase)
app.command("move")(move.move)
app.command("prune")(prune.prune)
app.command("docs")(docs.docs)
app.command("sql", context_settings=_PASSED_ON)(sql.sql)
app.command("demo")(demo.demo)
app.command("dbt", context_settings=_PASSED_ON)(dbt.dbt)
