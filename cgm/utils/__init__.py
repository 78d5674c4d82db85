"""Helpers that know nothing of cgm: checks, files, threads, progress, memory, cache, clock."""
