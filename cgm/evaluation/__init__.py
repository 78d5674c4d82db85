"""Evaluation of rewards: metrics, labels, downstream task, correlations (Sec. 6)."""
