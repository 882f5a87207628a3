"""The lab: the command line, scenarios, the capsule, the run, traffic and reports.

The only room that knows all the others; they do not know each other, nor the lab.
"""

from __future__ import annotations

__version__ = "0.1.0"
