"""What the lab raises."""

from __future__ import annotations


class RunError(Exception):
    """Something about a run that its user can put right; the message says how."""
