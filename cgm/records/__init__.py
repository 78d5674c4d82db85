"""Records of runs: result, tables, figures, trackers."""
