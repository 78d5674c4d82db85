"""The length-scale for tables: a study on real tables."""
