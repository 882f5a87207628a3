"""The compiled kernel gives what numpy gives, and touches nothing that is not its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import kernel
from collector.aggregate import Question, of_source
from collector.decode import OPEN_VSWITCH, STANDARD, Decoder
from collector.decode.octets import Octets
from collector.decode.packet import Packets, dissect
from collector.encode.checksum import word_sums
from collector.encode.pieces import Slices, render
from collector.encode.records import _Segment
from collector.flows import flows
from collector.keytable import KeyTable
from collector.plain_udp import plain_udp
from collector.source import open_source
from lab.compiled import compile_kernel
from tests.benchmarks import corpora
from tests.fuzz.check import block, datagrams
from tests.fuzz.seeds import seeds
from tests.support import ROOT, need
from tests.unit.collector.both_ways import assert_both_ways_agree
from tests.unit.collector.test_packet import ICMP, MACS, TCP, UDP, ipv4, ipv6

CASES = seeds()
SANITIZERS = ("-O1", "-g", "-shared", "-fPIC", "-fsanitize=address,undefined")


@pytest.fixture(autouse=True)
def compiled():
    need("cc")
    assert compile_kernel() is None


@pytest.mark.parametrize("number", range(len(CASES)))
def test_decodes_the_same(number):
    received = block(datagrams(CASES[number]))
    for habits in (STANDARD, OPEN_VSWITCH):
        assert_both_ways_agree(lambda: Decoder(habits).decode(received, last=True))  # noqa: B023


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_decodes_the_same_of_what_is_broken(data):
    octets = bytearray(data.draw(st.sampled_from(CASES)))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    received = datagrams(bytes(octets[: data.draw(st.integers(1, len(octets)))]))
    decoded = assert_both_ways_agree(lambda: Decoder().decode(block(received), last=True))
    with kernel.switched_off():
        other = flows(decoded)
    assert flows(decoded).sort(pl_columns := other.columns).equals(other.sort(pl_columns))


FRAMES = [
    MACS + behind
    for behind in (
        *(ipv4(6, TCP), ipv4(17, UDP), ipv4(1, ICMP), ipv6(6, TCP), ipv6(17, UDP), ipv6(58, ICMP)),
        *(ipv4(17, UDP, fragment=0x2000), ipv4(17, UDP, options=bytes(4)), ipv4(47, bytes(20))),
        *(ipv4(6, TCP, total=30), ipv4(17, UDP, total=22), ipv6(17, UDP, length=3)),
        *(ipv4(17, UDP, total=total) for total in (19, 20, 23, 24, 27, 28)),
        b"\x08\x06" + bytes(28),
        b"\x81\x00\x00\x05" + ipv4(6, TCP),
    )
]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_dissects_the_same(data):
    frames = data.draw(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=40))
    frames = [frame[: data.draw(st.integers(0, len(frame)))] for frame in frames]
    octets = bytearray(b"".join(frames))
    if octets:
        octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(0, 255))
    captured = np.array([len(frame) for frame in frames], np.int64)
    start = np.cumsum(captured) - captured
    buffer = Octets(np.frombuffer(bytes(octets), np.uint8))
    packets = dissect(buffer, start, captured)
    found = _udp(buffer, start, captured)
    with kernel.switched_off():
        wanted = dissect(buffer, start, captured)
        by_numpy = _udp(buffer, start, captured)
    for name in Packets.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(packets, name), getattr(wanted, name), name)
    assert found == by_numpy


def _udp(buffer, start, captured):
    """What plain frames carry, in rows."""
    parts = plain_udp(buffer, start, captured, np.arange(len(start)), 1)
    rows = [row for part in parts for row in zip(*map(list, part), strict=True)]
    return sorted(map(repr, rows))


@pytest.mark.parametrize(("length", "sets"), [(0, None), (3, None), (4, 2), (8, 1), (9, None)])
def test_sets_that_are_odd_are_left_alone(length, sets):
    octets = b"\1\0" + length.to_bytes(2, "big") + b"\1\1\0\4"
    found = kernel.sets(np.frombuffer(octets, np.uint8), np.array([0]), np.array([8]))
    assert (found if found is None else len(found[0])) == sets


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 40)] * 2), max_size=300), max_size=8))
@settings(max_examples=100, deadline=None)
def test_numbers_keys_as_before(blocks):
    table, known = KeyTable(2), {}
    for keys in blocks:
        words = [np.array([key[i] for key in keys], np.uint64) for i in range(2)]
        numbers = table.numbers(words).tolist()
        # The first row that has a key gives it the next number.
        assert numbers == [known.setdefault(key, len(known)) for key in keys]
    assert [tuple(key) for key in table.keys.T.tolist()] == list(known)


def test_grows_with_many_keys():
    table, words = KeyTable(1), [np.arange(300_000, dtype=np.uint64)[::-1] * np.uint64(1 << 40)]
    for _ in range(2):
        assert (table.numbers(words) == np.arange(300_000)).all()


@pytest.mark.parametrize("at", [-1, 3, 1 << 40])
def test_a_place_outside_is_an_error(at):
    buffer, places = np.zeros(4, np.uint8), np.array([at], np.int64)
    with pytest.raises(IndexError):
        kernel.gather(buffer, places, np.dtype(">u2"))
    with pytest.raises(IndexError):
        kernel.columns(buffer, places[:, None], [(0, 0, 2)])


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), max_size=40), st.randoms())
@settings(max_examples=100, deadline=None)
def test_puts_and_sums_the_same(places, random):
    buffer = np.frombuffer(random.randbytes(100), np.uint8)
    offset, length = (np.array([place[i] for place in places], np.int64) for i in range(2))
    pieces = Slices(buffer, offset, length)
    whole = b"".join(buffer[at : at + size].tobytes() for at, size in places)
    sums = [
        sum(int.from_bytes(octets[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, size, 2))
        for size, octets in ((size, buffer[at : at + size].tobytes()) for at, size in places)
    ]
    for way in (nullcontext, kernel.switched_off):
        with way():
            assert render(pieces).buffer.tobytes() == whole
            assert word_sums(pieces).tolist() == [total % 0xFFFF for total in sums]


NUMBERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", ">u4", ">i8", "?")
FORMS = (">u1", ">u2", ">u4", ">u8", ">i1", ">i4", ">f4", ">f8", "(2,)>u8")
OF_OCTETS = ("(0,)u1", "(1,)u1", "(3,)u1", "(6,)u1", "(7,)u1", "(40,)u1")


def column_of(form, kind, count, rng):
    """A column that a field of this form can hold: spread, as one of a table's is, or not."""
    form = np.dtype(form)
    step = int(rng.integers(1, 3))
    if form.base.itemsize == 8 and form.shape:
        halves = rng.integers(0, 1 << 63, (count * step, 2), np.uint64)[::step]
        return halves.astype("u4") if kind == "u4" else halves
    octets = rng.integers(0, 256, (count * step, form.itemsize), np.uint8)[::step]
    if form.shape and (kind == "octets" or not 1 <= form.itemsize <= 8):
        return octets
    most = min(8 * form.itemsize, 8 * np.dtype(kind).itemsize) - 1 if kind in NUMBERS else 7
    kind = kind if kind in NUMBERS else "u8"
    least = -(1 << most) if form.kind in "if" and np.dtype(kind).kind == "i" else 0
    values = rng.integers(least, 1 << min(most, 62), count * step)[::step]
    return values.astype(kind)


@given(
    st.lists(
        st.tuples(st.sampled_from([*FORMS, *OF_OCTETS]), st.sampled_from([*NUMBERS, "octets"])),
        min_size=1,
        max_size=9,
    ),
    st.integers(0, 150),
    st.integers(0, 1 << 32),
)
@settings(max_examples=150, deadline=None)
def test_packs_the_same(fields, count, seed):
    rng = np.random.default_rng(seed)
    dtype = np.dtype([("own", "u1"), *((f"f{n}", form) for n, (form, _) in enumerate(fields))])
    same = np.frombuffer(rng.bytes(dtype.itemsize), dtype).copy()
    columns = {
        f"f{n}": column_of(dtype[f"f{n}"], kind, count, rng)
        for n, (_, kind) in enumerate(fields)
        if rng.integers(0, 4)
    }
    records = _Segment(same, columns, count)
    mine = render(records, 3).buffer.tobytes()
    with kernel.switched_off():
        assert render(records, 3).buffer.tobytes() == mine


@pytest.mark.parametrize(("at", "values"), [(-1, 1), (7, 1), (1 << 40, 1), (0, 0), (0, 2)])
def test_a_record_outside_is_an_error(at, values):
    same = np.zeros(1, np.dtype([("a", ">u4")]))
    with pytest.raises(IndexError):
        kernel.pack(np.zeros(10, np.uint8), np.array([at]), same, {"a": np.zeros(values, int)})


@pytest.mark.parametrize("wrong", [(9, 0, 2), (-1, 0, 2), (0, 9, 2), (0, -1, 2), (0, 0, 11)])
def test_a_piece_outside_is_an_error(wrong):
    out, buffer = np.zeros(10, np.uint8), np.zeros(10, np.uint8)
    at, offset, length = (np.array([number], np.int64) for number in wrong)
    with pytest.raises(IndexError):
        kernel.put(out, at, buffer, offset, length)
    if wrong[1:] != (0, 2):
        with pytest.raises(IndexError):
            kernel.sums(buffer, offset, length)


WAYS = ("follow", "columns", "gather", "plain_udp", "dissect", "sets", "items", "records")


def test_what_is_plain_takes_the_compiled_way(monkeypatch, tmp_path):
    taken, refused = set(), []

    def watched(name, function):
        def call(*arguments, **named):
            found = function(*arguments, **named)
            (refused.append if found is None else taken.add)(name)
            return found

        return call

    for name in (*WAYS, "number_keys", "keep"):
        monkeypatch.setattr(kernel, name, watched(name, getattr(kernel, name)))
    for corpus in corpora.CORPORA:
        corpora.write(corpus, tmp_path / corpus, 500)
        sums, _ = of_source(open_source(str(tmp_path / corpus)), Question())
        assert len(sums.table())
    assert taken == {*WAYS, "number_keys", "keep"}
    assert not refused


def test_nothing_outside_is_read_or_written(tmp_path):
    """The same, with a compiler's sanitizers watching."""
    compiler, source = need("cc"), Path(kernel.__file__).with_name("kernel.c")
    asan = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(asan).is_absolute():
        pytest.skip("the compiler has no sanitizers")
    library = tmp_path / "kernel.so"
    subprocess.run([compiler, *SANITIZERS, "-o", library, source], check=True)
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LD_PRELOAD": asan,
            "ASAN_OPTIONS": "detect_leaks=0",
            "UBSAN_OPTIONS": "halt_on_error=1",
            kernel.SWITCH: str(library),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "watched"


WATCHED = """
from random import Random
from collector import kernel
from collector.aggregate import Question, of_source
from collector.decode import Decoder
from collector.encode import pcap_records
from collector.flows import flows
from tests.fuzz.check import block, datagrams
from tests.fuzz.seeds import seeds

assert kernel.library()
random = Random(1)
for case in seeds():
    for _ in range(6):
        octets = bytearray(case[: random.randint(len(case) // 2, len(case))])
        for _ in range(random.randint(0, 5)):
            octets[random.randrange(len(octets))] = random.randrange(256)
        # Each in a buffer of its own, so that what is behind it is nobody's.
        made = block(datagrams(bytes(octets)))
        flows(Decoder().decode(made, last=True))
        pcap_records(made)
print("watched")
"""


def test_where_there_is_no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel.sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(kernel.SWITCH, raising=False)
    assert compile_kernel() == "there is no C compiler (cc)"
    assert kernel.library() is None
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such header >&2\nexit 1\n")
    compiler.chmod(0o755)
    assert compile_kernel() == "it cannot be compiled: no such header"
    assert kernel.library() is None


def test_switched_off(monkeypatch):
    monkeypatch.setenv(kernel.SWITCH, "off")
    assert kernel.library() is None
    assert compile_kernel() is None
