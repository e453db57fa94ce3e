"""What one client of the web listener may ask for."""

from dataclasses import dataclass
from typing import Final

MAX_HEADER: Final = 16_384
"""Octets of a request line with its header fields."""


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of one connection."""

    request_seconds: float = 30.0
    """For sending a request, header and body, and again for being answered."""
    idle_seconds: int = 15
    """Between two requests."""
