"""Fixtures of the API's and the command line's tests."""

from admin_api import api, clock, parts
from admin_service import admin, running_admin

__all__ = ["admin", "api", "clock", "parts", "running_admin"]
