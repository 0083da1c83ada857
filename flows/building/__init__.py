"""Building: dbt computes the working relations, or its recorded statements do."""
