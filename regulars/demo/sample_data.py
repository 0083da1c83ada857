"""Sample data for the demo: four shops and a year of their customers, always the same for a seed.

Pure: no database, clock or file. It doesn't use `ingest` to read phone numbers, so that tests can compare the two.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from ingest.checkout import Checkout, Visit

_DAYS = 365

FIXED_DAY = date(2026, 10, 31)
"""The last day of the year where none is asked for, so that tests and benchmarks always see the same data."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link that the shop hands out; a rotated link ends when the next one begins."""

    slug: str
    label: str
    utm_source: str | None
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order and its changes of status within the year. Money is in the shop's currency."""

    checkout: Checkout
    """What the storefront sends: the ids, the buyer, and the phone number as typed this time."""
    calls: int
    """How often checkout tracks it: 2 means a retry, 0 means that the nightly refresh matches it."""
    person_id: UUID
    line: str | None
    """The person's number in E.164; None where they typed something that is no phone number."""
    network: str
    volume_gb: Decimal
    base_price: Decimal
    profit_amount: Decimal
    history: tuple[tuple[str, str, datetime], ...]
    """Each order_status and payment_status with its time; the first is that of the new order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A profit or a withdrawal request; `history` is each status with its time, the first that of the new entry."""

    entry_id: UUID
    order_id: UUID | None
    amount: Decimal
    history: tuple[tuple[str, datetime], ...]


@dataclass(frozen=True, slots=True)
class Shop:
    """A shop and its year; the events are not sorted by time."""

    shop_id: UUID
    owner_id: UUID
    name: str
    slug: str
    country: str
    time_zone: str
    currency: str
    links: tuple[Link, ...]
    visits: tuple[Visit, ...]
    orders: tuple[Order, ...]
    profits: tuple[Entry, ...]
    withdrawals: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SampleData:
    middle: datetime
    """Half-way through the year."""
    shops: tuple[Shop, ...]


# fmt: off
# Name, slug, country, time zone, currency; newcomers in the first month, their growth by month, and the
# exponent of how many orders they place: the smaller it is, the more regular customers there are.
_SHOPS = (
    ("Makola Data", "makola-data", "GH", "Africa/Accra", "GHS", 36, 1.05, 1.20),
    ("Kejetia Bundles", "kejetia", "GH", "Africa/Accra", "GHS", 15, 1.00, 0.85),
    ("Yaba Data Plug", "yaba-plug", "NG", "Africa/Lagos", "NGN", 16, 1.15, 2.20),
    ("Bronx Top-Up", "bronx-topup", "US", "America/New_York", "USD", 17, 1.02, 1.30),
)

# Each network with the prefixes of its numbers; the American ones are reserved for fiction.
_NETWORKS: dict[str, dict[str, tuple[str, ...]]] = {
    "GH": {"MTN": ("24", "54", "55", "53"), "Telecel": ("20", "50"), "AT": ("26", "27", "57")},
    "NG": {"MTN": ("803", "806"), "Airtel": ("802", "812"), "Glo": ("805", "815"), "9mobile": ("809", "817")},
    "US": {"T-Mobile": ("91755501", "34755501"), "Verizon": ("64655501", "71855501"), "AT&T": ("92955501",)},
}
_CODES = {"GH": ("233", "00"), "NG": ("234", "009"), "US": ("1", "011")}

# Gigabytes, their cost to the shop, the shop's profit.
_BUNDLES = {
    "GH": (("1", "4.20", "0.80"), ("2", "8.10", "1.40"), ("5", "19.50", "2.50"), ("10", "38.00", "4.50")),
    "NG": (("1.5", "880", "120"), ("3", "1650", "200"), ("6", "2950", "300"), ("12", "4700", "450")),
    "US": (("2", "9.20", "1.79"), ("5", "17.50", "2.49"), ("15", "31.00", "3.99")),
}

# Label, suffix to the shop's slug, utm_source, first day, last day.
_LINKS: tuple[tuple[str, str, str | None, int, int | None], ...] = (
    ("Shop page", "", None, 0, None),
    ("WhatsApp status", "-wa", "whatsapp", 0, 140),
    ("WhatsApp status", "-wa2", "whatsapp", 140, None),
    ("Instagram", "-ig", "instagram", 80, None),
    ("Holiday flyer", "-xmas", None, 25, 70),
)

# How many orders in a thousand take which later statuses, and about how many hours later.
_PAID = (("processing", "completed", 0.04),)
_DONE = (*_PAID, ("completed", "completed", 0.5))
_ORDER_HISTORIES: tuple[tuple[int, tuple[tuple[str, str, float], ...]], ...] = (
    (875, _DONE), (30, (*_DONE, ("refunded", "completed", 60))), (9, (("cancelled", "completed", 0.2),)),
    (12, (*_DONE, ("reversed", "completed", 30))), (14, (*_PAID, ("failed", "completed", 1))), (10, _PAID),
    (36, ()), (14, (("cancelled", "failed", 0.1),)),
)

# The later statuses of each month's withdrawal request; the last ones are still under way.
_GRANTED = ("approved", "processing", "completed")
_WITHDRAWN = (*[_GRANTED] * 4, ("rejected",), *[_GRANTED] * 2, _GRANTED[:2], _GRANTED[:1], ())

_FULL_WIDTH = {ord(digit): ord(digit) - ord("0") + 0xFF10 for digit in "0123456789"}
_FIRST_NAMES = ("Abena", "Kofi", "Efua", "Yaw", "Adjoa", "Chidi", "Ngozi", "Tunde", "Maria", "Leon")
_LAST_NAMES = ("Mensah", "Owusu", "Boateng", "Okafor", "Adeyemi", "Bello", "Rivera", "Cole", "Brown")
# fmt: on


def spellings(country: str, number: str) -> tuple[str, ...]:
    """How people in `country` type `number` (national, without a leading 0); each spelling is the same number."""
    code, prefix = _CODES[country]
    head, body, tail = number[:-7], number[-7:-4], number[-4:]
    if country == "US":
        home = (number, f"({head}) {body}-{tail}", f"{head}-{body}-{tail}", f"1-{head}-{body}-{tail}")
    else:
        home = (f"0{number}", f"0{head} {body} {tail}", number, f"+{code} (0){head} {body} {tail}")
    abroad = (f"{code}{number}", f"+{code} {head} {body} {tail}", f"{prefix}{code}{number}")
    return (*home, *abroad, f"+{code}{number}", home[0].translate(_FULL_WIDTH))


def unreadable(number: str) -> tuple[str | None, ...]:
    """What people type that is no phone number."""
    return (None, "same as last time", number[:5], "0000000000", "call me first", number + "4477")


def yesterday(now: datetime) -> date:
    """The last local day that is over in every shop's time zone."""
    return min(now.astimezone(ZoneInfo(zone)).date() for _, _, _, zone, *_ in _SHOPS) - timedelta(days=1)


def make_sample_data(*, seed: int, until: date = FIXED_DAY) -> SampleData:
    """The year that ends with the local day `until`, in each shop's own time zone."""
    random = Random(seed)  # noqa: S311 - sample data, not a secret
    first_day = until - timedelta(days=_DAYS - 1)
    numbers: dict[str, list[str]] = {country: [] for country in _CODES}
    shops = tuple(_ShopYear(random, first_day, *profile).generate(numbers) for profile in _SHOPS)
    return SampleData(middle=datetime.combine(first_day + timedelta(days=_DAYS // 2), time(), UTC), shops=shops)


class _ShopYear:
    """Generates one shop's year. All shops draw from one random generator, in a fixed order."""

    def __init__(
        self, random: Random, first_day: date, name: str, slug: str, country: str, time_zone: str,
        currency: str, newcomers: float, growth: float, loyalty: float,
    ) -> None:  # fmt: skip
        self.random, self.first_day, self.country, self.zone = random, first_day, country, ZoneInfo(time_zone)
        self.newcomers, self.growth, self.loyalty = newcomers, growth, loyalty
        self.opens_at, self.ends_at = self._at(0), self._at(_DAYS)
        self.shop_id, self.profile = self._id(), (self._id(), name, slug, country, time_zone, currency)
        self.links = tuple(
            Link(slug + end, label, source, self._at(since), self._at(to) if to else None)
            for label, end, source, since, to in _LINKS
        )
        self.visits: list[Visit] = []
        self.orders: list[Order] = []
        self.profits: list[Entry] = []
        self.withdrawals: list[Entry] = []

    def generate(self, numbers: dict[str, list[str]]) -> Shop:
        """`numbers`: all numbers in each country so far; some of these people buy here too."""
        own: set[str] = set()
        for month in range(12):
            for _ in range(round(self.newcomers * self.growth**month * self.random.uniform(0.85, 1.15))):
                self._buy(month, *self._line(numbers[self.country], own))
        self._withdraw()
        events = (tuple(self.visits), tuple(self.orders), tuple(self.profits), tuple(self.withdrawals))
        return Shop(self.shop_id, *self.profile, self.links, *events)

    def _line(self, numbers: list[str], own: set[str]) -> tuple[str, str]:
        """A network, and a number that is new to this shop."""
        network, heads = self.random.choice(list(_NETWORKS[self.country].items()))
        digits = 2 if self.country == "US" else 7
        number = f"{self.random.choice(heads)}{self.random.randrange(10**digits):0{digits}}"
        if numbers and self.random.random() < 0.08:
            number = self.random.choice(numbers)
        if number in own:
            return self._line(numbers, own)
        own.add(number)
        numbers.append(number)
        return network, number

    def _buy(self, month: int, network: str, number: str) -> None:
        """All orders of a person who first buys in `month`: most order once or twice, a few every week."""
        random, person_id = self.random, self._id()
        name = f"{random.choice(_FIRST_NAMES)} {random.choice(_LAST_NAMES)}"
        email = f"{name.replace(' ', '.').lower()}@example.com" if random.random() < 0.5 else None
        known = spellings(self.country, number)
        habit = random.choice(known)
        wanted = min(60, int(random.paretovariate(self.loyalty)))
        pace = max(6.0, 60 / wanted**0.6) * random.uniform(0.6, 1.4)
        day = random.uniform(month, month + 1) * _DAYS / 12
        while wanted > 0 and day < _DAYS:
            hour = random.uniform(0, 5) if random.random() < 0.05 else random.triangular(5, 23.9, 20)
            moment = self._at(int(day), int(hour * 3600))
            is_garbled, is_usual = random.random() < 0.025, random.random() < 0.6
            typed = unreadable(number) if is_garbled else (habit,) if is_usual else known
            volume, base, profit = map(Decimal, random.choice(_BUNDLES[self.country]))
            order = Order(
                checkout=self._checkout(moment, phone=random.choice(typed), email=email, name=name),
                calls=random.choices((0, 1, 2), (6, 88, 6))[0], person_id=person_id,
                line=None if is_garbled else f"+{_CODES[self.country][0]}{number}", network=network,
                volume_gb=volume, base_price=base, profit_amount=profit, history=self._history(moment),
            )  # fmt: skip
            self.orders.append(order)
            self._earn(order)
            wanted -= 1
            day += 0.1 + random.expovariate(1 / pace)

    def _history(self, moment: datetime) -> tuple[tuple[str, str, datetime], ...]:
        ((_, changes),) = self.random.choices(_ORDER_HISTORIES, [weight for weight, _ in _ORDER_HISTORIES])
        pace = self.random.uniform(0.5, 2)
        later = [(order, paid, moment + timedelta(hours=hours * pace)) for order, paid, hours in changes]
        # Statuses after the end of the year have not happened yet.
        return (("pending", "pending", moment), *(status for status in later if status[2] < self.ends_at))

    def _checkout(self, moment: datetime, *, phone: str | None, email: str | None, name: str) -> Checkout:
        """Most have a recorded visit, some only a link that the checkout sends, a few neither."""
        if self.random.random() < 0.55:
            self._visit(moment - timedelta(hours=self.random.uniform(0.5, 4)))  # a visit without a purchase
        chance, visit_id, slug = self.random.random(), None, None
        if chance < 0.7:
            visit = self._visit(moment - timedelta(minutes=self.random.uniform(1, 12)))
            visit_id, slug, moment = visit.visit_id, visit.slug, visit.accessed_at or moment
        elif chance < 0.95:
            slug = self._link(moment).slug
        return Checkout(
            shop_id=self.shop_id, order_id=self._id(), phone=phone, email=email, customer_name=name,
            visit_id=visit_id, slug=slug, accessed_at=moment,
        )  # fmt: skip

    def _visit(self, moment: datetime) -> Visit:
        moment = max(moment, self.opens_at)
        link, is_tagged = self._link(moment), self.random.random() < 0.8
        source = link.utm_source if is_tagged else None
        visit = Visit(
            visit_id=self._id(), shop_id=self.shop_id, slug=link.slug, accessed_at=moment, utm_source=source,
            utm_medium="social" if source else None, referrer=f"https://{source}.com/" if source else None,
        )  # fmt: skip
        self.visits.append(visit)
        return visit

    def _link(self, moment: datetime) -> Link:
        holding = [link for link in self.links if link.valid_from <= moment]
        return self.random.choice([link for link in holding if not link.valid_to or moment < link.valid_to])

    def _earn(self, order: Order) -> None:
        """A profit for a paid order, credited some days later unless the order was refunded by then."""
        since = {status: moment for status, _, moment in order.history}
        if "processing" not in since or "failed" in since:
            return
        history = [("pending", since["processing"])]
        credited_at = since["processing"] + timedelta(days=self.random.uniform(5, 7))
        if credited_at < self.ends_at and not since.keys() & {"refunded", "reversed"}:
            history.append(("credited", credited_at))
            if credited_at < self._at(60):  # paid out by hand, before withdrawal requests existed
                history.append(("withdrawn", credited_at + timedelta(days=10)))
        self.profits.append(Entry(self._id(), order.checkout.order_id, order.profit_amount, tuple(history)))

    def _withdraw(self) -> None:
        """From the third month on, the owner requests most of the balance every month."""
        taken = Decimal(0)
        for month, later in enumerate(_WITHDRAWN, start=3):
            asked_at = self._at(month * 30 + self.random.randrange(4), 36_000)
            credited = [p.amount for p in self.profits if len(p.history) == 2 and p.history[1][1] < asked_at]
            amount = (sum(credited, -taken) * self.random.randrange(60, 90) / 100).quantize(Decimal(1))
            moments = (asked_at + timedelta(hours=20 * step) for step in range(4))
            history = tuple(zip(("pending", *later), moments, strict=False))
            self.withdrawals.append(Entry(self._id(), None, amount, history))
            taken += 0 if later == ("rejected",) else amount

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def _at(self, day: int, second: int = 0) -> datetime:
        """A time on the shop's local day, in UTC."""
        local = datetime.combine(self.first_day + timedelta(days=day), time()) + timedelta(seconds=second)
        return local.replace(tzinfo=self.zone).astimezone(UTC)
