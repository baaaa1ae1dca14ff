"""Fixtures of the whole suite."""

pytest_plugins = ["postgres_server"]
