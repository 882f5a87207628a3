"""A datagram field by field, for people who learn: ``flowlab explain``.

`walk` goes through the octets by the layouts that the decoders use too; `meaning` says what the
fields are for. Every octet of a datagram is in exactly one line.
"""

from __future__ import annotations

from collector.explain.find import NoSuchDatagramError, explain
from collector.explain.walk import Line

__all__ = ["Line", "NoSuchDatagramError", "explain"]
