"""Profiles on disk, and cases made of them: with or without faults on the way to the collector."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
import socket
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import field_validator

from collector import pcap, replay, sending
from collector.arrival import knowable
from collector.corpus.case import EXPORTS, FEATURES, MEASURES, OBSERVER, Manifest, Truth
from collector.decode import BY_NAME, STANDARD
from collector.decode.layout import VARIABLE
from collector.encode import pcap_records
from collector.flows import flow_json
from collector.generate.exporting import Exporter
from collector.generate.profile import Profile
from collector.generate.truth import Sums
from collector.recording import Writer
from collector.senders import FAMILIES
from lab import __version__
from lab.corpus import CORPUS, write_case
from lab.described import WrongFile, read_as
from lab.run.faulty import DONE, Stage
from lab.scenario.model import AnyDisturbance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from collector.corpus.case import Case
    from collector.decode import Datagrams
    from collector.encode import Sent as Encoded
    from collector.generate.exporting import Block
    from lab.disturbances import Disturbance

PROFILES: Final = CORPUS / "profiles"
EDGE_CASES: Final = CORPUS / "edge-cases"
ON_THE_WAY: Final = (
    *("drop", "duplicate", "reorder", "delay", "corrupt", "truncate", "late_collector"),
)
"""Faults that befall datagrams, and need no network to do so."""
_MOST_STORED: Final = 1_000_000
"""Records that are put in order, or befallen by faults: all of them are in memory then."""
_MADE_AHEAD_OCTETS: Final = 128 << 20


class ProfileFile(Profile):
    """A profile as it stands in a file: its faults are those of scenarios."""

    fault: tuple[AnyDisturbance, ...] = ()  # type: ignore[assignment]

    @field_validator("fault")
    @classmethod
    def _on_the_way(cls, given: tuple[Any, ...]) -> tuple[Any, ...]:
        for one in given:
            if one.kind not in ON_THE_WAY or getattr(one, "exporter", None):
                known = ", ".join(ON_THE_WAY)
                raise ValueError(f"here a fault is one of {known}, and is nobody's in particular")
        return given


def read_profile(name: str) -> Profile:
    """A profile by the name of a bundled one, or by its file.

    Raises:
        WrongFile: there is none, or it is not of the form.
    """
    bundled = {path.stem: path for path in all_profiles()}
    path = Path(name)
    if not path.suffix and name in bundled:
        path = bundled[name]
    elif not path.suffix:
        raise WrongFile(f"there is no profile {name!r}; there is {', '.join(bundled)}")
    return read_as(ProfileFile, path)


def all_profiles() -> list[Path]:
    """All bundled ones, edge cases behind the others."""
    return [*sorted(PROFILES.glob("*.yaml")), *sorted(EDGE_CASES.glob("*.yaml"))]


@dataclass(frozen=True)
class Plan:
    """What is to be generated."""

    profile: Profile
    records: int
    seed: int
    fault: tuple[Disturbance, ...] = ()
    """The profile's, and behind them those of the command."""

    @classmethod
    def of(
        cls,
        profile: Profile,
        records: int | None = None,
        seed: int | None = None,
        fault: Sequence[Disturbance] = (),
    ) -> Plan:
        """A profile, with what the command says instead."""
        decided = profile.seed if seed is None else seed
        faults: list[Any] = [*profile.fault, *fault]
        return cls(
            profile,
            profile.records if records is None else records,
            decided,
            seeded(faults, decided),
        )

    @property
    def streams(self) -> bool:
        """Whether datagrams can leave as they are made."""
        return not self.fault and self.profile.exporters == 1

    def exporters(self) -> list[tuple[Exporter, int]]:
        """The exporters, each with its seed."""
        found = []
        for number in range(self.profile.exporters):
            own: dict[str, Any] = {"domain": self.profile.domain + number}
            if not self.profile.one_address:
                own = {"address": str(ip_address(self.profile.address) + number)}
            profile = self.profile.model_copy(update=own)
            found.append((Exporter.of(profile, self.seed + number, number), self.seed + number))
        return found


@dataclass(frozen=True)
class Generated:
    """What was generated."""

    totals: Mapping[str, int]
    truth: Truth


def blocks(plan: Plan) -> Iterator[tuple[Sums, Block]]:
    """Datagrams of one exporter behind those of another, block by block; the sums grow with them.

    Raises:
        NotEncodableError: the profile asks for what the format cannot say.
    """
    for exporter, seed in plan.exporters():
        sums = Sums(exporter)
        share = plan.records // plan.profile.exporters
        for block in exporter.blocks(share, seed):
            sums.add(block)
            yield sums, block


def write_capture(plan: Plan, path: Path, *, rows: bool = True) -> Generated:
    """Write the datagrams to a file, and say what is true of them.

    Args:
        plan: what is to be generated.
        path: of the capture.
        rows: whether the truth is asked for flow by flow.

    Raises:
        NotEncodableError: the profile asks for what the format cannot say.
        WrongFile: there are too many records for what is asked, or too few to tell any; or nobody
            could know what is true behind the faults, or nothing is left.
    """
    if not plan.streams and plan.records > _MOST_STORED:
        raise WrongFile(
            f"with faults or several exporters there are at most {_MOST_STORED} records"
        )
    if plan.fault:
        with tempfile.TemporaryDirectory() as scratch:
            whole = Path(scratch) / EXPORTS
            made = write_capture(replace(plan, fault=()), whole)
            truth = befall(whole, path, plan.fault, habits_of(plan), made.truth.flows)
        return Generated(made.totals, truth)
    if plan.records < plan.profile.exporters:
        raise WrongFile(
            f"{plan.profile.exporters} exporters share the records: "
            f"{plan.records} is too few, give --records {plan.profile.exporters} or more"
        )
    every: list[Sums] = []
    stored: list[Datagrams] = []
    with Writer(path) as writer:
        for sums, block in blocks(plan):
            if not every or every[-1] is not sums:
                every.append(sums)
            datagrams = block.datagrams(sums.profile)
            if plan.profile.exporters > 1:
                stored.append(datagrams)
            else:
                writer.write_records(pcap_records(datagrams).data)
        if stored:
            writer.write_records(pcap_records(in_order(stored)).data)
    totals: Counter[str] = Counter()
    for sums in every:
        totals.update(sums.totals)
    flows = [row for sums in every for row in sums.rows()] if rows else []
    counts = {
        "datagrams": totals["datagrams"],
        "records": totals["records"],
        "missing": 0,
        "duplicates": 0,
        "undecodable": 0,
    }
    return Generated(totals, Truth(sorted(flows, key=_order), counts))


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes:
        datagrams: how many.
        records: of flows, in them.
        took_s: from the first one.
        refused: whether an answer came that nobody listens there.
    """

    datagrams: int
    records: int
    took_s: float
    refused: bool


def send(plan: Plan, host: str, port: int, rate_dps: float | None) -> Sent:
    """Send the datagrams.

    While some are sent the next ones are made. Without a rate many are made before the first one
    leaves: so they leave as fast as the kernel takes them, not as fast as they are made.

    Raises:
        OSError: something cannot be sent.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    if not plan.streams:
        return _send_stored(plan, str(address[0]), port, rate_dps)
    datagrams = records = 0
    octets = _MADE_AHEAD_OCTETS if rate_dps is None else 0
    with socket.socket(family, socket.SOCK_DGRAM) as out, ThreadPoolExecutor(1) as ahead:
        out.connect(address)
        ((exporter, seed),) = plan.exporters()
        source = exporter.blocks(plan.records, seed)
        some = ahead.submit(_made, source, octets).result()
        began_s = time.perf_counter()
        while some:
            coming = ahead.submit(_made, source, octets)
            for sent, told in some:
                sending.send(out, sent.buffer, sent.offset, sent.length, rate_dps)
                datagrams += len(sent.offset)
                records += told
            some = coming.result()
        took_s = time.perf_counter() - began_s
        refused = out.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    return Sent(datagrams, records, took_s, refused)


def _made(source: Iterator[Block], octets: int) -> list[tuple[Encoded, int]]:
    """The next blocks, each with its number of records, until they have so many octets.

    There is one at least, unless there are no more.
    """
    some: list[tuple[Encoded, int]] = []
    for block in source:
        some.append((block.sent, len(block.records["tuple"])))
        octets -= len(block.sent.buffer)
        if octets <= 0:
            break
    return some


_UNLIMITED_DPS: Final = 1e12
"""More than any machine: all is due at once."""


def _send_stored(plan: Plan, host: str, port: int, rate_dps: float | None) -> Sent:
    """Several exporters, or what faults left."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / EXPORTS
        generated = write_capture(plan, path, rows=False)
        datagrams = pcap.datagrams(pcap.read(path))
    due = replay.at_rate(len(datagrams), rate_dps or _UNLIMITED_DPS)
    targets = dict.fromkeys(FAMILIES, replay.Target(host, port))
    done = replay.replay(datagrams, targets, due)
    records = generated.truth.counts["records"] or 0
    return Sent(done.datagrams, records, done.took_s, bool(done.refused))


def in_order(stored: Sequence[Datagrams]) -> Datagrams:
    """Datagrams of several exporters as they come, in order of time."""
    begins = np.cumsum([0, *(len(one.buffer) for one in stored)])
    joined_columns: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in stored]) for name in _COLUMNS
    }
    joined = replace(
        stored[0],
        buffer=np.concatenate([one.buffer for one in stored]),
        offset=np.concatenate(
            [one.offset + at for one, at in zip(stored, begins[:-1], strict=True)]
        ),
        **joined_columns,
    )
    return joined.take(np.argsort(joined.timestamp_ns, kind="stable"))


_COLUMNS: Final = (
    *("length", "missing", "timestamp_ns", "source", "source_port"),
    *("destination", "destination_port"),
)


def habits_of(plan: Plan) -> dict[str, str]:
    """By address of the exporters, where they have any."""
    if plan.profile.habits == STANDARD.name:
        return {}
    return {exporter.profile.address: plan.profile.habits for exporter, _ in plan.exporters()}


def befall(
    whole: Path,
    path: Path,
    faults: Sequence[Disturbance],
    habits: Mapping[str, str],
    flows: Iterable[Mapping[str, Any]],
) -> Truth:
    """Let faults happen to the datagrams of a file; what is true of what is left.

    Args:
        whole: the file.
        path: where what is left is written to.
        faults: in the order in which they strike.
        habits: by exporter's address.
        flows: rows of the truth before; which of them are `reverse` no flow says by itself.

    Raises:
        WrongFile: nothing is left, or nobody can know what is true of what is left.
    """
    capture = pcap.read(whole)
    befell = ", ".join(map(spelled, faults))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / EXPORTS
        settings = [{"kind": one.kind, **one.model_dump(), "targets": None} for one in faults]
        stage = Stage(str(out), settings)
        for when_ns, frame in capture.frames():
            stage.write(when_ns, frame)
        stage.flush()
        stage.close()
        told = json.loads((out.parent / DONE).read_text(encoding="ascii"))
        sent, arrived = pcap.datagrams(capture), pcap.datagrams(pcap.read(out))
        own = {address: BY_NAME[name] for address, name in habits.items()}
        known = knowable(sent, arrived, (), own, (), told["spoilt"], as_they_came=True)
        if known.doubtful:
            more = f" (and {len(known.doubtful) - 1} more)" if known.doubtful[1:] else ""
            raise WrongFile(
                f"with {befell} nobody can know what is true: {known.doubtful[0]}{more}; take "
                "another fault or seed, or a profile that redefines and withdraws no template"
            )
        if not len(arrived):
            raise WrongFile(
                f"with {befell} none of {len(sent)} datagrams is left: there would be nothing to "
                "compare; take more --records, or a weaker fault"
            )
        shutil.copyfile(out, path)
    accounts = known.accounts.values()
    missing = [one.missing for one in accounts]
    counts = {
        "datagrams": len(arrived),
        "records": known.records,
        "missing": None if None in missing else sum(one or 0 for one in missing),
        "duplicates": sum(one.duplicates for one in accounts),
        "undecodable": sum(one.waiting for one in accounts) + len(told["spoilt"]),
    }
    back = {_order(row) for row in flows if row.get("reverse")}
    left = sorted(map(_row, known.flows.iter_rows(named=True)), key=_order)
    rows = [{**row, "reverse": True} if _order(row) in back else row for row in left]
    return Truth(rows, counts)


def _row(flow: Mapping[str, Any]) -> dict[str, Any]:
    """A flow of `collector.flows` as a row of the truth."""
    return {
        **{name: flow[name] for name in OBSERVER},
        "flow": flow_json(flow),
        **{name: flow[name] for name in MEASURES},
        "sampling": round(flow["packets"] / flow["samples"]) if flow["samples"] else 1,
    }


def _order(row: Mapping[str, Any]) -> str:
    return json.dumps([row[name] for name in OBSERVER] + [row["flow"]])


def write(plan: Plan, name: str, folder: Path) -> Case:
    """Write a case.

    Args:
        plan: what is to be generated.
        name: of the profile, as the command takes it.
        folder: of the case.

    Raises:
        NotEncodableError: as `write_capture`.
        WrongFile: likewise; with faults nothing has been written then.
    """
    if plan.fault:
        with tempfile.TemporaryDirectory() as scratch:
            return _write_at(plan, name, folder, Path(scratch) / EXPORTS)
    folder.mkdir(parents=True, exist_ok=True)
    return _write_at(plan, name, folder, folder / EXPORTS)


def _write_at(plan: Plan, name: str, folder: Path, exports: Path) -> Case:
    """Write a case whose capture is made at a place of its own."""
    generated = write_capture(plan, exports)
    profile = plan.profile
    added = plan.fault[len(profile.fault) :]
    more = f" --records {plan.records}" if plan.records != profile.records else ""
    manifest = Manifest(
        title=_titled(profile.title, added),
        about=_about(" ".join(profile.about.split()), added),
        protocols=[profile.protocol],
        features=_features(plan, generated.truth),
        exporter=f"flowlab generate {__version__}",
        remake=(
            f"flowlab generate {shlex.quote(name)} --seed {plan.seed}{more}{_options(added)} "
            "--out DIR"
        ),
        seed=plan.seed,
        habits=habits_of(plan),
    )
    return write_case(folder, manifest, generated.truth, exports)


def _titled(title: str, faults: Sequence[Disturbance]) -> str:
    """A title, with the faults that were added."""
    return "; ".join([title, *([", ".join(one.kind for one in faults)] if faults else [])])


def _about(text: str, faults: Sequence[Disturbance]) -> str:
    """What a right collector must do, with the faults that were added."""
    if not faults:
        return text
    befell = ", ".join(map(spelled, faults))
    return (
        f"{text} But faults befell the datagrams on their way ({befell}): what is to be told is "
        "what the datagrams say that came, as often as they came."
    )


def _options(faults: Sequence[Disturbance]) -> str:
    return "".join(f" --fault {spelled(one)}" for one in faults)


def _features(plan: Plan, truth: Truth) -> list[str]:
    """What the profile says that it touches, and what can be seen of it."""
    profile = plan.profile
    fields = [field for one in profile.templates for field in one.specified]
    names = {field if isinstance(field, str) else field[0] for field in fields}
    events = {one.kind for one in profile.events}
    found = {
        "ipv4": profile.flows.ipv6_percent < 100,
        "ipv6": profile.flows.ipv6_percent > 0,
        "icmp": "icmp" in profile.flows.protocols,
        "vlan": profile.flows.vlan > 0,
        "mpls": profile.flows.mpls > 0,
        "tcp-flags": any(row["tcpControlBits"] for row in truth.flows),
        "sampling": profile.sampling.rate > 1,
        "several-exporters": profile.exporters > 1 and not profile.one_address,
        "several-domains": profile.exporters > 1 and profile.one_address,
        "templates": profile.by_templates,
        "template-refresh": profile.by_templates and profile.refresh_records > 0,
        "template-redefinition": "redefine" in events,
        "template-withdrawal": "withdraw" in events,
        "data-before-template": profile.templates_after_records > 0,
        "options": any(one.scopes for one in profile.templates),
        "enterprise-elements": any("/" in name for name in names),
        "biflows": profile.biflows,
        "variable-length": any(not isinstance(one, str) and one[1] == VARIABLE for one in fields),
        "restart": "restart" in events,
        "sflow-counters": profile.counters,
    }
    by_faults = _features_of(plan.fault, by_templates=profile.by_templates)
    return [
        name
        for name in FEATURES
        if found.get(name) or name in profile.features or name in by_faults
    ]


def _features_of(faults: Sequence[Disturbance], *, by_templates: bool) -> set[str]:
    """What a case touches because of its faults."""
    found = {_FEATURE_OF[one.kind] for one in faults if one.kind in _FEATURE_OF}
    late = by_templates and any(one.kind == "late_collector" for one in faults)
    return found | ({"data-before-template"} if late else set())


_FEATURE_OF: Final = {
    "drop": "loss",
    "duplicate": "duplicates",
    "reorder": "reordering",
    "delay": "reordering",
    "corrupt": "malformed",
    "truncate": "malformed",
}


def from_case(case: Case, fault: Sequence[Disturbance], folder: Path) -> Case:
    """A case out of another one, with faults on the way.

    Args:
        case: what there is.
        fault: what befalls its datagrams.
        folder: of the new case.

    Raises:
        WrongFile: nothing is left, or nobody can know what is true of what is left; or faults
            befell the case before. Then nothing has been written.
    """
    old, counts = case.manifest, case.truth().counts
    if _BROKEN.intersection(old.features) or any(
        counts.get(name, 0) != 0 for name in ("missing", "duplicates", "undecodable")
    ):
        # What is left is known by what was sent, and of that only a part is there.
        raise WrongFile(
            "faults befell its datagrams before, or some were lost: give all faults at once, for "
            f"the case or profile that was whole; this one comes of: {old.remake}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        exports = Path(scratch) / EXPORTS
        truth = befall(case.exports, exports, fault, old.habits, case.truth().flows)
        by_templates = bool({"netflow9", "ipfix"}.intersection(old.protocols))
        touched = {*old.features, *_features_of(fault, by_templates=by_templates)}
        manifest = replace(
            old,
            title=_titled(old.title, fault),
            about=_about(old.about, fault),
            features=[name for name in FEATURES if name in touched],
            remake=f"{old.remake}; then flowlab generate DIR{_options(fault)} --out BROKEN",
        )
        return write_case(folder, manifest, truth, exports)


_BROKEN: Final = frozenset(_FEATURE_OF.values())


def seeded(faults: Iterable[Disturbance], seed: int) -> tuple[Disturbance, ...]:
    """Faults, with this seed those that have none of their own; two of a kind draw apart anyhow."""
    return tuple(
        one.model_copy(update={"seed": seed})
        if "seed" in type(one).model_fields and "seed" not in one.model_fields_set
        else one
        for one in faults
    )


def spelled(fault: Disturbance) -> str:
    """A fault as the command takes it: kind=N:SEED."""
    settings = fault.model_dump()
    number = settings["missed"] if "missed" in settings else settings["percent"]
    number = int(number) if number == int(number) else number
    return f"{fault.kind}={number}" + (f":{settings['seed']}" if "seed" in settings else "")
