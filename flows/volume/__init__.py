"""The volume gate: days with far fewer orders than their weekday lets one expect, or far more without a customer."""
