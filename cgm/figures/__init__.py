"""Figures of rewards, of settlements and records alike."""
