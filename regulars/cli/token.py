"""`regulars token`."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from ingest.storage.connections import Connection
from ingest.storage.errors import UnknownShop
from ingest.storage.settings import Settings
from regulars.cli.extras import needs
from regulars.cli.opening import open_database


def token(
    shop: Annotated[str, typer.Option(help="The slug of one of the owner's shops.")],
    for_api: Annotated[bool, typer.Option("--api", help="Print a Bearer token for the API instead.")] = False,
    reusable: Annotated[bool, typer.Option("--reusable", help="Let the link work more than once.")] = False,
    hours: Annotated[int, typer.Option(min=1, max=24 * 365, help="How long the Bearer token is valid.")] = 1,
) -> None:
    """Print a link that signs a shop's owner in to the dashboard, or a token for its API."""
    with needs("dashboard", subject="Tokens need"):
        from regulars.dashboard.security.tokens import SESSION_LASTS, SIGN_IN_LASTS, Keys
    settings = Settings.from_environment()
    keys = Keys(settings)
    with open_database(settings) as connection:
        sub = _owner_of(connection, shop)
    note = Console(stderr=True, highlight=False, soft_wrap=True)
    if for_api:
        typer.echo(keys.api_token(sub, lasts=timedelta(hours=hours)))
        note.print(
            f"It is valid for {hours} h and for every shop of this owner. Anyone who has it reads what the owner reads."
        )
        return
    link_token = keys.sign_in_link_token(sub, is_reusable=reusable)
    typer.echo(f"{settings.dashboard_url.rstrip('/')}/sign-in?token={link_token}")
    minutes, hours_in = SIGN_IN_LASTS.seconds // 60, SESSION_LASTS.seconds // 3600
    note.print(
        f"The link works {'any number of times' if reusable else 'once'} within {minutes} minutes and signs in for "
        f"{hours_in} h. Whoever opens it is signed in as this owner: send it to nobody else."
    )


def _owner_of(connection: Connection, slug: str) -> str:
    row = connection.execute(
        "select user_id::text from public.user_shops where shop_slug = %s", [slug.replace("\0", "")]
    ).fetchone()
    if row is None:
        raise UnknownShop("There is no shop with this slug; `regulars sql` lists them: select shop_slug from shops.")
    if not row[0]:
        raise UnknownShop("This shop has no owner: its user_id is empty in user_shops.")
    return str(row[0])
