"""The report of a settlement: HTML pages."""
