"""Reproduction of the experiments of the paper (Sec. 6)."""
