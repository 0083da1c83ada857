"""A visitor to the owners' pages, with data that holds HTML in every text."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import get_args
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx

from ingest.storage.settings import Settings
from regulars.dashboard.pages.figures import Name
from regulars.dashboard.security.session import COOKIE
from regulars.dashboard.security.tokens import Keys
from tests.conftest import Database
from tests.owners import Shop, TwoOwners

FIGURES = list(get_args(Name))
DRAWN = [name for name in FIGURES if name not in ("segments", "forecast")]
"""Those for which the owners' shops have customers enough."""
PAGES = ["/", "/customers", "/retention", "/links", "/forecast"]
"""Those in the navigation."""
NOBODY = (
    "/customers/0e3d7c51-8a0f-4b0e-9f57-5d1c55d2a6f0"  # a constant, because two workers must collect the same tests
)
PATHS = [*PAGES, "/segments", "/customers.csv", NOBODY, *(f"/charts/{name}.svg" for name in FIGURES)]
_SAME = ("sort=", "theme=dark", "size=narrow", "size=middle", "period=", "against=", "segment=", "lang=")
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


@dataclass
class Seen(HTMLParser):
    """A page as a visitor sees it: its text, its links, its elements."""

    html: str
    text: str = ""
    leads: list[str] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.leads += [value for name, value in attrs if name in ("href", "src", "srcset", "action") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A served dashboard, its database, and clients for it."""

    owners: TwoOwners
    database: Database
    settings: Settings
    address: str
    quiet: UUID
    """Owns one shop, which has no sale."""

    def visitor(self, **cookies: str) -> httpx.Client:
        """As a browser that opens pages."""
        headers = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
        return httpx.Client(base_url=self.address, cookies=cookies, headers=headers, timeout=30)

    def owner(self, sub: object) -> httpx.Client:
        return self.visitor(**{COOKIE: Keys(self.settings).session(str(sub))})

    def ids(self, shop: Shop) -> list[str]:
        with self.database.connect() as connection:
            rows = connection.execute(
                "select shop_customer_id::text from analytics.customers where shop_id = %s order by 1", [shop.shop_id]
            ).fetchall()
        return [row[0] for row in rows]


def write_hostile(database: Database, shop: Shop) -> None:
    """Adds a sale whose customer, link, network and campaign are HTML, and names the shop in HTML."""
    order_id = uuid4()
    with database.connect() as connection:
        connection.execute("update user_shops set shop_name = %s where id = %s", [f"shop {HOSTILE}", shop.shop_id])
        connection.execute(
            "insert into shop_orders (id, shop_id, customer_name, customer_email, customer_phone, network, volume_gb, "
            "base_price, profit_amount, total_price, order_status, payment_status, created_at) values "
            "(%s, %s, %s, %s, '0209999999', %s, 1, 4, 1, 5, 'completed', 'completed', now())",
            [order_id, shop.shop_id, f"name {HOSTILE}", f"mail{HOSTILE}@example.com", f"network {HOSTILE}"],
        )
        connection.execute(
            "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at, "
            "referrer, utm_source, utm_medium, utm_campaign) "
            "values (%s, %s, %s, now(), %s, %s, %s, %s)",
            [shop.shop_id, order_id, *(f"{field} {HOSTILE}" for field in ("slug", "from", "source", "medium", "camp"))],
        )


def is_file(address: str) -> bool:
    return urlsplit(address).path.endswith((".csv", ".xlsx", ".txt"))


@dataclass(frozen=True, slots=True)
class Walk:
    """Every page and picture that an owner reaches from the overview by links, by address."""

    pages: dict[str, str]
    link: str
    """The token of the sign-in link."""
    session: str


def walk(dashboard: Dashboard, owner: UUID) -> Walk:
    read: dict[str, str] = {}
    token = Keys(dashboard.settings).sign_in_link_token(str(owner))
    with dashboard.visitor() as client:
        client.get("/sign-in", params={"token": token})
        wanted = ["/"]
        while wanted:
            address = wanted.pop()
            if address in read or not address.startswith("/") or address.startswith(("/static", "/sign-out")):
                continue
            # One sort, theme, size and language are enough, of one period and of all segments.
            if any(same in address for same in _SAME):
                continue
            answer = client.get(address)
            assert answer.status_code == 200, (address, answer.text)
            read[address] = answer.text
            if answer.headers["content-type"].startswith("text/html"):
                wanted += Seen(answer.text).leads
        return Walk(read, token, client.cookies[COOKIE])
