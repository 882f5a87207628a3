"""The exporters: what switches them on and off, and what each of them observes.

To add one, write a module with a class derived from `Exporter` and list it here.
"""

from __future__ import annotations

from exporters.base import Bridge, Command, Exporter, Identity, Observes, Probe, SwitchExporter
from exporters.ipfix import Ipfix
from exporters.ipfix_flow import IpfixFlow
from exporters.netflow import NetFlow
from exporters.pmacctd import Pmacctd
from exporters.sflow import SFlow
from exporters.softflowd import Softflowd

EXPORTERS: dict[str, type[Exporter]] = {
    kind.name: kind for kind in (NetFlow, SFlow, Ipfix, IpfixFlow, Softflowd, Pmacctd)
}
"""Every exporter by the name that a scenario calls it."""

__all__ = [
    "EXPORTERS",
    "Bridge",
    "Command",
    "Exporter",
    "Identity",
    "Observes",
    "Probe",
    "SwitchExporter",
]
