"""Datasets and splits."""
