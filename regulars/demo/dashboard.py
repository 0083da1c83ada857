"""The demo's dashboard, served while `regulars demo --keep` waits."""

import secrets
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from ingest.storage.settings import Settings
from regulars.demo.sample_data import Shop


@contextmanager
def served_dashboard(settings: Settings, shops: Iterable[Shop]) -> Iterator[dict[str, str]]:
    """Serves the dashboard on loopback from a thread; yields each shop's name with its owner's sign-in link."""
    # Imported here, because only `--keep` needs them.
    import uvicorn

    from regulars.dashboard.app import create_app
    from regulars.dashboard.security.tokens import Keys

    listener = socket.create_server(("127.0.0.1", 0))
    where = f"http://127.0.0.1:{listener.getsockname()[1]}"
    own = settings.model_copy(update={"jwt_secret": SecretStr(secrets.token_urlsafe(32)), "dashboard_url": where})
    server = uvicorn.Server(uvicorn.Config(create_app(own), log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        keys = Keys(own)
        # A newcomer opens them again and again.
        yield {
            shop.name: f"{where}/sign-in?token={keys.sign_in_link_token(str(shop.owner_id), is_reusable=True)}"
            for shop in shops
        }
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
