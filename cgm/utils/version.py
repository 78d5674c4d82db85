"""The version of cgm."""

__version__ = "0.2.0"
