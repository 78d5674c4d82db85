"""The command line: all that knows Hydra."""
