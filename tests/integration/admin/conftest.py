"""Fixtures of the API's tests."""

from admin_api import api, clock, parts

__all__ = ["api", "clock", "parts"]
