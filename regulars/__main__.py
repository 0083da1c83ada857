"""`regulars`: the command line. Each subcommand has a module of its own; this one names them and tells errors."""

import sys

import psycopg

from ingest.storage.errors import RegularsError


def main() -> None:
    """Runs the command; what a user can mend is one line on stderr and exit status 1, never a traceback."""
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
        _say(str(error))
    except psycopg.Error as error:
        # The primary message only: DETAIL may hold a phone.
        _say(f"The database said: {error.diag.message_primary or 'the connection was lost'}. Nothing is half done.")
    except KeyboardInterrupt:
        _say("Stopped; nothing is half done.", status=130)


def _say(message: str, *, status: int = 1) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, soft_wrap=True).print(Text("Error: ", style="bold red") + Text(message))
    sys.exit(status)


if __name__ == "__main__":
    main()
