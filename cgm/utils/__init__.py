"""Helpers that are independent of the rest of cgm: checks, files, tensors, seeds, threads, models."""
