"""`regulars`: the command line's entry point, which prints errors. Each subcommand is a module in `regulars/cli`."""

import sys

import psycopg

from ingest.storage.errors import RegularsError

# Of PostgreSQL's errors, those that an operator can mend.
_REMEDIES: dict[type[psycopg.Error], str] = {
    psycopg.errors.DiskFull: " Make room on the server's disk, and run it again.",
    psycopg.errors.InsufficientPrivilege: " Grant it to the user of DATABASE_URL, and run it again.",
    psycopg.errors.ReadOnlySqlTransaction: " Make the database writable, and run it again.",
}


def main() -> None:
    """Runs the command. An error that the user can fix is one line on stderr and exit status 1, without a traceback."""
    try:
        import typer  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit("The command needs more than a checkout does: pip install 'regulars[pipeline]'.")
    from regulars.cli.app import app

    try:
        app()
    except RegularsError as error:
        _exit_with(str(error))
    except psycopg.Error as error:
        # The primary message only: DETAIL may hold a phone.
        _exit_with(
            f"The database said: {error.diag.message_primary or 'the connection was lost'}. What was committed stays."
            f"{_REMEDIES.get(type(error), ' Run it again.')}"
        )
    except KeyboardInterrupt:
        _exit_with("Stopped. What was committed stays; run it again to do the rest.", status=130)


def _exit_with(message: str, *, status: int = 1) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("Error: ", style="bold red") + Text(message))
    sys.exit(status)


if __name__ == "__main__":
    main()
