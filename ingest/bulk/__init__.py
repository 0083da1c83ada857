"""Many orders at once: importing a storefront's export, matching orders after the fact, retrying failed checkouts."""
