"""Helpers that are independent of the rest of cgm: checks, suggestions, files, tensors, seeds, threads, models."""
