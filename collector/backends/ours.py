"""The bundled collector: ``flowlab collect`` stores flows as Parquet files."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import polars as pl

from collector.backends.base import Backend, Tells
from collector.backends.daemons import LOOPBACK, Daemon, free_port
from collector.flows import flow_json
from collector.store import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from collector.backends.base import Given, Row

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_STANDARD: Final = "standard"
_HABITS: Final = {"Open vSwitch": "openvswitch"}
"""Habits that the command can be told of; of all others only sequence numbers differ."""
_STORE: Final = "store"
_READY: Final = "listening for"
_CAME: Final = re.compile(r"^stored (\d+) datagrams", re.MULTILINE)
_TAKEN: Final = re.compile(r"^stored \d+ datagrams, (\d+) records", re.MULTILINE)


class Flowlab(Backend):
    """``flowlab collect``."""

    name: ClassVar = "flowlab"
    says: ClassVar = (
        "the bundled collector, receiving on ports (`flowlab collect`); told which exporters are "
        "Open vSwitch, as a user of it would"
    )

    def version(self) -> str:
        """That of this checkout."""
        text = (_CHECKOUT / "lab" / "__init__.py").read_text(encoding="utf-8")
        return text.partition('__version__ = "')[2].partition('"')[0]

    def tells(self, family: str) -> Tells:
        """All that a row can say."""
        del family
        observer = ("family", "protocol", "exporter", "observation_domain", "agent")
        measures = ("packets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns")
        return Tells(frozenset({*observer, "flowDirection"}), frozenset(measures))

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """One for each way of reading the formats: its habits are those of all of its exporters."""
        exporters: dict[str, set[str]] = defaultdict(set)
        # Those of whom nothing is said do nothing differently.
        for address in sorted({*given.exporters, *given.habits}):
            habits = _HABITS.get(given.habits.get(address, ""), _STANDARD)
            exporters[habits].add(address)
        return [
            _daemon(given, habits, frozenset(some))
            for habits, some in (exporters or {_STANDARD: set()}).items()
        ]

    def rows(self, given: Given) -> list[Row]:
        """All flows of all stores."""
        found: list[Row] = []
        for store in _stores(given):
            for path in files(store)["flows"]:
                found += _rows(pl.read_parquet(path).iter_rows(named=True))
        return found

    def counts(self, given: Given) -> Mapping[str, int]:
        """Datagrams as it says in the end, what is missing as the view of exporters has it."""
        paths = [path for store in _stores(given) for path in files(store)["exporters"]]
        missing = sum(int(pl.read_parquet(path)["lost"].sum()) for path in paths)
        return {"datagrams": _said(given, _CAME), "missing": missing}

    def packets(self, given: Given) -> int:
        """Summed where they are."""
        paths = [path for store in _stores(given) for path in files(store)["flows"]]
        sums = [pl.scan_parquet(path).select("packets").sum().collect().item() for path in paths]
        return int(sum(sums))

    def taken(self, given: Given) -> int | None:
        """As it says in the end."""
        return _said(given, _TAKEN)


def _said(given: Given, number: re.Pattern[str]) -> int:
    """The sum of a number that each of its programs says in the end."""
    said = [path.read_text(encoding="utf-8") for path in given.folder.glob("flowlab-*.txt")]
    return sum(int(found) for text in said for found in number.findall(text))


def _stores(given: Given) -> list[Path]:
    return sorted(given.folder.glob(f"{_STORE}-*"))


def _daemon(given: Given, habits: str, exporters: frozenset[str]) -> Daemon:
    """``flowlab collect`` on free ports."""
    ports = {family: free_port() for family in sorted(given.families)}
    listen = [
        part
        for family, port in ports.items()
        for part in ("--listen", f"{family}://{LOOPBACK}:{port}")
    ]
    store = given.folder / f"{_STORE}-{habits}"
    options = ["--out", str(store), "--store", "flows,exporters", "--exporter-habits", habits]
    return Daemon(
        [sys.executable, "-m", "lab", "collect", *listen, *options],
        ports,
        given.folder / f"flowlab-{habits}.txt",
        ready=_READY,
        one_more=False,
        exporters=exporters or None,
        environment={
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_CHECKOUT), *_python_path())))
        },
    )


def _python_path() -> tuple[str, ...]:
    return (os.environ.get("PYTHONPATH", ""),)


def _rows(told: Iterable[Row]) -> list[Row]:
    """Rows of the store."""
    names = ("protocol", "exporter", "observation_domain", "agent", "flowDirection")
    counted = ("packets", "octets_l2", "octets_l3", "tcpControlBits", "first_ns", "last_ns")
    return [
        {
            "family": "sflow" if row["protocol"] == "sflow5" else "netflow",
            "flow": flow_json(row),
            **{name: row[name] for name in (*names, *counted)},
        }
        for row in told
    ]
