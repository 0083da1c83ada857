"""Regulars: customer analytics for storefronts. What a checkout calls can be imported from here, too."""

from ingest import Answer, Checkout, RegularsError, Tracker, Visit

__all__ = ["Answer", "Checkout", "RegularsError", "Tracker", "Visit"]
