"""The volume gate: days with far fewer orders than on previous such weekdays, or far more without a customer."""
