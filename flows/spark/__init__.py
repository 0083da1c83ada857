"""Rebuilding on Spark: the raw rows as Parquet, the models on Spark, and what they computed back in PostgreSQL."""
