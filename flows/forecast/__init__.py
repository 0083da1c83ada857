"""Forecasts: how often the customers of a shop will buy and for how much, fitted and scored once a week."""
