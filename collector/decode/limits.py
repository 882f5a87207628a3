"""What a decoder keeps at most, so that its memory stays bounded whatever arrives.

Each limit that is reached is counted under its name; what it costs is said at the field.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one decoder."""

    templates_per_exporter: int = 4_096
    """A further one displaces the one of that exporter that was announced longest ago."""
    templates: int = 65_536
    """Of all exporters; a further one displaces the one announced longest ago."""
    fields_per_template: int = 1_024
    """A longer template is a fault."""
    fields: int = 500_000
    """Of all different templates together; treated like `templates`."""
    waiting_sets: int = 4_096
    """Sets that wait for their template; a further one displaces the one that has waited longest,
    which is a fault then."""
    waiting_octets: int = 4 << 20
    """Likewise."""
    exporters: int = 65_536
    """Observation domains of which sampling and interface names are remembered."""
    interfaces: int = 65_536
    """Interface names remembered of one observation domain."""


DEFAULT = Limits()
TEMPLATES_PER_EXPORTER = "templates of one exporter"
TEMPLATES = "templates"
FIELDS = "fields of all templates"
WAITING = "sets waiting for a template"
EXPORTERS = "exporters remembered"
INTERFACES = "interfaces of one exporter"
