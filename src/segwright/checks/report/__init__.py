"""What `segwright inspect` shows: a table, JSON, and one HTML page with images."""

from segwright.checks.report.command import inspect

__all__ = ["inspect"]
