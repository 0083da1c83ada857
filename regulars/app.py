"""The subcommands, and what they share: the settings and the connection."""

import typer

from regulars import customer, databases, dbt, demo, door, erase, load, refresh, serve, spool, status

app = typer.Typer(
    name="regulars",
    help="Customer analytics for storefronts: who comes back, which link brought them, what they are worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("migrate")(databases.migrate)
app.command("load")(load.load)
app.command("refresh")(refresh.refresh)
app.command("rebuild")(refresh.rebuild)
app.command("status")(status.status)
app.command("serve")(serve.serve)
app.command("door")(door.door)
app.add_typer(spool.spool, name="spool")
app.command("customer")(customer.customer)
app.command("erase")(erase.erase)
app.command("demo")(demo.demo)
app.command("dbt", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(dbt.dbt)
