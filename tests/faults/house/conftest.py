"""The whole house under faults: the system of the end-to-end tests, or one of a test's own."""

from tests.e2e.conftest import system

__all__ = ["system"]
