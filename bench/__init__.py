"""Measurements: ratios taken in one run, printed as one table, kept as JSON with machine, versions and date."""
