"""What the ladder raises."""

from __future__ import annotations


class LearnError(Exception):
    """Something that its user can put right; the message says how."""
