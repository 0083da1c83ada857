"""The two events, a visit and a checkout, without the characters that PostgreSQL can't store."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ingest.storage.time_zones import in_utc


def clean_text(value: Any) -> Any:
    """Drops NUL characters and lone surrogates, trims, and turns empty text into None."""
    if isinstance(value, str):
        if not value.isascii() or "\0" in value:
            value = value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
        return value.strip() or None
    return value


Text = Annotated[str | None, BeforeValidator(clean_text)]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shop_id: UUID
    slug: Text = None
    """The link that the buyer opened, without the host: the part after the shop's address."""
    accessed_at: Annotated[datetime | None, AfterValidator(in_utc)] = None
    """When the link was opened; a naive time is UTC. None: now."""
    referrer: Text = None
    utm_source: Text = None
    utm_medium: Text = None
    utm_campaign: Text = None


class Visit(_Event):
    """Somebody opened a shop's link, and has not bought so far."""

    visit_id: UUID = Field(default_factory=uuid4)


class Checkout(_Event):
    """An order that the storefront has just written to `shop_orders`."""

    order_id: UUID
    phone: Text = None
    """As the buyer typed it; it is read in the shop's country."""
    email: Text = None
    customer_name: Text = None
    visit_id: UUID | None = None
    """The visit that this purchase completes, if the storefront tracked one."""
