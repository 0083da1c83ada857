"""Many orders at once: a storefront's export is read and loaded, and orders are matched after the fact."""
