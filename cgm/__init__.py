"""Fair rewards of synthetic data for parties that pool their data (Tay, Xu, Foo, Low, AAAI 2022)."""

__version__ = "0.1.0"
