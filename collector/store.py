"""A folder of Parquet files that grows while datagrams arrive, and is whole at every moment.

    flows-20261122T194100.123456Z-00000001-00000032.parquet
    what  since when              batches of that time

Every batch becomes a file at once: written without a name, synced, then named (on file systems that
know only files with names: under another one in `.unfinished`, then renamed). Files of several
batches are made one file in the same way, and only then those that it replaces are deleted; so a
file whose batches another one has too is a remainder, which readers pass over (`files`) and the
next `Store` deletes. Whoever is killed loses the batch in hand, never a file.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from collector.flows import FLOWS, flows
from collector.records import OFFSET, WHERE_FROM, table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from collector.decode import Decoded, Stream

EXPORTERS: Final[Mapping[str, Any]] = {
    "protocol": pl.String,
    "exporter": pl.String,
    "source_port": pl.UInt16,
    "observation_domain": pl.UInt32,
    "agent": pl.String,
    "sub_agent": pl.UInt32,
    "unit": pl.String,
    "datagrams": pl.UInt64,
    "units": pl.UInt64,
    "lost": pl.Int64,
    "gaps": pl.UInt64,
    "reordered": pl.UInt64,
    "restarts": pl.UInt64,
    "first_seen": pl.Datetime("ns", "UTC"),
    "last_seen": pl.Datetime("ns", "UTC"),
}
"""What one batch says of a stream; sums over batches are what all say. `lost` of a batch is
negative if what was missing before came late."""

_PLACE: Final[Mapping[str, Any]] = {**WHERE_FROM, OFFSET: pl.UInt32}
VIEWS: Final[Mapping[str, Mapping[str, Any]]] = {
    "flows": FLOWS,
    "records": _PLACE,
    "samples": _PLACE,
    "counters": _PLACE,
    "extended": _PLACE,
    "exporters": EXPORTERS,
}
"""What there are files of, and columns that they all have.

flows: `collector.flows`, summed within a batch. records: NetFlow and IPFIX, as they came. samples,
counters, extended: sFlow; what an extended record is of is the sample with its datagram, and its
`sampleOffset` as `offset`.
"""

MERGED: Final = 32
"""So many files of single batches are made one."""
LARGEST_OCTETS: Final = 16 << 20
"""Files are made one up to this size: their rows take ten times as much memory meanwhile."""
_VIEW_OF: Final = {
    "data": "records",
    "options": "records",
    "flow sample": "samples",
    "counters": "counters",
    "extended": "extended",
}
_NAME: Final = re.compile(
    r"(?P<view>[a-z]+)-(?P<since>\d{8}T\d{6}\.\d{6}Z)-(?P<first>\d{8})-(?P<last>\d{8})\.parquet"
)
_UNFINISHED: Final = ".unfinished"


class WrongViewError(ValueError):
    """There is no such view; the text says which there are."""


def chosen_views(written: str) -> frozenset[str]:
    """Views from what was typed: names separated by commas.

    Raises:
        WrongViewError: one of them is none.
    """
    names = frozenset(name.strip() for name in written.split(","))
    if unknown := sorted(names - VIEWS.keys()):
        message = f"--store {unknown[0]!r}: there is {', '.join(VIEWS)}"
        raise WrongViewError(message)
    return names


class _File(NamedTuple):
    """A file of a store."""

    view: str
    since: str
    first: int
    last: int
    path: Path


def tables(
    decoded: Decoded, exporters: pl.DataFrame, views: Collection[str] = VIEWS
) -> dict[str, pl.DataFrame]:
    """What is to be stored of a block: view to rows; views without rows are left out."""
    found: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
    for batch in decoded.batches:
        if (view := _VIEW_OF[batch.kind]) in views:
            found[view].append(table(batch, decoded.read_lists))
    together = {view: pl.concat(rows, how="diagonal") for view, rows in found.items()}
    if "flows" in views:
        together["flows"] = flows(decoded)
    if "exporters" in views:
        together["exporters"] = exporters
    return {view: rows for view, rows in together.items() if len(rows)}


def exporter_rows(streams: Iterable[Stream], first_ns: int, last_ns: int) -> pl.DataFrame:
    """What a block says of some streams, as rows of `EXPORTERS`; when it began and ended."""
    rows = [
        {name: getattr(stream, name, None) for name in EXPORTERS}
        | {"first_seen": first_ns, "last_seen": last_ns}
        for stream in streams
    ]
    seen = dict.fromkeys(("first_seen", "last_seen"), pl.Int64)
    frame = pl.DataFrame(rows, schema={**EXPORTERS, **seen}, orient="row")
    return frame.with_columns(
        pl.from_epoch(name, "ns").dt.replace_time_zone("UTC") for name in seen
    )


def files(folder: Path) -> dict[str, list[Path]]:
    """The files of a store by view, in order of time, without remainders."""
    found: dict[str, list[Path]] = {view: [] for view in VIEWS}
    kept, _ = _sorted_out(folder)
    for one in kept:
        found[one.view].append(one.path)
    return found


def is_store(folder: Path) -> bool:
    """Whether a folder has files of a store."""
    return any(_NAME.fullmatch(entry.name) for entry in folder.iterdir())


def _sorted_out(folder: Path) -> tuple[list[_File], list[_File]]:
    """The files that count, and the remainders."""
    by_time: defaultdict[tuple[str, str], list[_File]] = defaultdict(list)
    for entry in sorted(folder.iterdir()):
        matched = _NAME.fullmatch(entry.name)
        if matched and matched["view"] in VIEWS:
            first, last = int(matched["first"]), int(matched["last"])
            one = _File(matched["view"], matched["since"], first, last, entry)
            by_time[one.view, one.since].append(one)
    kept: list[_File] = []
    remainders: list[_File] = []
    for together in by_time.values():
        end = 0
        for one in sorted(together, key=lambda one: (one.first, -one.last)):
            (kept if one.last > end else remainders).append(one)
            end = max(end, one.last)
    return kept, remainders


class Store:
    """A store that is being written. One writer at a time."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, and tidy up after one who was killed.

        Raises:
            OSError: it cannot be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for entry in folder.glob(f"{_UNFINISHED}/*"):
            entry.unlink()
        kept, remainders = _sorted_out(folder)
        for one in remainders:
            one.path.unlink()
        self.files = 0
        """Files written, one for every view of a batch."""
        self._since = ""
        self._batch = 0
        self._single: defaultdict[str, list[_File]] = defaultdict(list)
        self._all: defaultdict[str, list[_File]] = defaultdict(list)
        by_time: defaultdict[tuple[str, str], list[_File]] = defaultdict(list)
        for one in kept:
            by_time[one.view, one.since].append(one)
        for together in by_time.values():
            self._merge(together)
        self._begin()

    def write(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Store a batch: when this returns, it is readable and survives."""
        self._batch += 1
        for view, found in rows.items():
            written = self._put(view, self._batch, self._batch, found)
            self._all[view].append(written)
            self._single[view].append(written)
            if len(self._single[view]) >= MERGED:
                single = self._single.pop(view)
                merged = self._merge(single)
                self._all[view] = [one for one in self._all[view] if one not in single] + merged

    def rotate(self) -> None:
        """Make few files of each view of all since the last time, and begin anew."""
        for together in self._all.values():
            self._merge(together)
        self._begin()
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing more is written."""
        self.rotate()

    def _begin(self) -> None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        # Two within a microsecond would be one.
        self._since = max(now, _after(self._since))
        self._batch = 0
        self._single.clear()
        self._all.clear()

    def _merge(self, some: Sequence[_File]) -> list[_File]:
        """Make files of one view and time fewer: one, or as many as memory has room for one."""
        if len(some) < 2:
            return list(some)
        in_order = sorted(some, key=lambda one: one.first)
        groups: list[list[_File]] = []
        octets = LARGEST_OCTETS + 1
        for one in in_order:
            octets += (size := one.path.stat().st_size)
            if octets > LARGEST_OCTETS:
                groups.append([])
                octets = size
            groups[-1].append(one)
        return [self._made_one(group) for group in groups]

    def _made_one(self, some: Sequence[_File]) -> _File:
        """Make one file of some whose batches follow each other."""
        if len(some) < 2:
            return some[0]
        view, since = some[0][:2]
        rows = pl.concat([pl.read_parquet(one.path) for one in some], how="diagonal")
        first, last = min(one.first for one in some), max(one.last for one in some)
        merged = self._put(view, first, last, rows, since)
        for one in some:
            one.path.unlink()
        return merged

    def _put(
        self, view: str, first: int, last: int, rows: pl.DataFrame, since: str | None = None
    ) -> _File:
        """Write a file, so that it is there whole or not at all."""
        since = since or self._since
        name = f"{view}-{since}-{first:08}-{last:08}.parquet"
        path = self.folder / name
        octets = io.BytesIO()
        rows.write_parquet(octets, compression="lz4" if first == last else "zstd")
        _write_whole(path, octets.getbuffer())
        self.files += 1
        return _File(view, since, first, last, path)


def _write_whole(path: Path, octets: memoryview) -> None:
    """Make a file that is there with all its octets, on the disk, or not at all."""
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except OSError as refused:
        if refused.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
        _write_renamed(path, octets)
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)
        # Python follows the link there only with a dir_fd, of which an absolute path has no use.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)


def _write_renamed(path: Path, octets: memoryview) -> None:
    """The same where files cannot be without a name."""
    unfinished = path.parent / _UNFINISHED / path.stem
    unfinished.parent.mkdir(exist_ok=True)
    with unfinished.open("wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _after(since: str) -> str:
    """A time a little later than that of a file name."""
    if not since:
        return ""
    form = "%Y%m%dT%H%M%S.%fZ"
    then = datetime.strptime(since, form).replace(tzinfo=UTC)
    return datetime.fromtimestamp(then.timestamp() + 2e-6, UTC).strftime(form)
