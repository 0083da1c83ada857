"""A refresh and what belongs to it: forecasts, alarms, audits, Spark, moving the database."""
