"""Any table of records: strategies for templates and the columns that fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from collector.decode.elements import RAW, elements, kinds, number_of
from collector.decode.layout import VARIABLE
from collector.decode.templates import ENTERPRISE_BIT, IPFIX, NETFLOW9
from collector.encode import template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.decode.layout import Field, Layout

WIDTHS = {"ipv6Address": [16], "ipv4Address": [4], "macAddress": [6], "boolean": [1]}
WIDTHS |= {"float32": [4], "float64": [4, 8]}
NAMES = sorted(
    name for name in kinds() if not name.startswith("scope") and number_of(name)[1] < ENTERPRISE_BIT
)
OF_IANA = sorted(
    {known.name for (enterprise, _), known in elements().items() if not enterprise}
    - {"paddingOctets"}
)
STRANGE = ["0/9999", "6871/14", "9/12345", "29305/999"]


@st.composite
def fields(draw, names):
    """A name and a width."""
    name = draw(st.sampled_from(names))
    kind = kinds().get(name, "octetArray")
    if kind in RAW or "/" in name:
        return name, draw(st.sampled_from([VARIABLE, VARIABLE, 0, 1, 5, 16]))
    # A width that the element cannot have makes raw octets of it.
    return name, draw(st.sampled_from([*WIDTHS.get(kind, [1, 2, 3, 4, 5, 6, 7, 8]), 9, VARIABLE]))


@st.composite
def templates(draw, number, version):
    """A template whose records have octets."""
    names = OF_IANA if version == NETFLOW9 else NAMES
    names = [*names, *(STRANGE[:1] if version == NETFLOW9 else STRANGE)]
    wanted = draw(st.lists(fields(names), min_size=1, max_size=7))
    if not sum(width for _, width in wanted):
        wanted.append(("octetDeltaCount", 8))
    scopes = draw(st.integers(0, len(wanted)) if version == IPFIX else st.just(0))
    if version == NETFLOW9 and draw(st.booleans()):
        scope_names = ["scopeSystem", "scopeCache", "scope77", "ingressInterface", "templateId"]
        wanted.insert(0, (draw(st.sampled_from(scope_names)), draw(st.sampled_from([1, 2, 4]))))
        scopes = 1
    return template(number, wanted, scopes=scopes, version=version)


def column(draw, field: Field, count: int) -> Any:
    """Values of one field."""
    width = field.width
    if field.kind in RAW:
        values = (
            st.binary(max_size=300)
            if width == VARIABLE
            else st.binary(min_size=width, max_size=width)
        )
        found = draw(st.lists(values, min_size=count, max_size=count))
        octets = np.empty(count, object)
        octets[:] = found
        if width == VARIABLE:
            return octets
        return np.frombuffer(b"".join(found), np.uint8).reshape(count, width)
    if field.kind.startswith("float"):
        # What they are is a matter of their octets: not-a-number too.
        found = draw(st.binary(min_size=width * count, max_size=width * count))
        return np.frombuffer(found, f"f{width}")
    if field.kind == "ipv6Address":
        return np.frombuffer(
            draw(st.binary(min_size=16 * count, max_size=16 * count)), np.uint64
        ).reshape(-1, 2)
    signed = field.kind.startswith("signed")
    least, most = (
        (-(1 << 8 * width - 1), (1 << 8 * width - 1) - 1) if signed else (0, (1 << 8 * width) - 1)
    )
    found = draw(st.lists(st.integers(least, most), min_size=count, max_size=count))
    return np.array(found, np.int64 if signed else np.uint64)


@st.composite
def tables(draw, layout: Layout, count: int):
    """Columns of a layout."""
    return {name: column(draw, place.field, count) for name, place in layout.places.items()}


def assert_same(columns: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Two tables have the same values in all columns that are wanted."""
    for name, values in wanted.items():
        found = columns[name]
        if values.dtype == object:
            assert found.tolist() == values.tolist(), name
        elif values.dtype.kind == "f":
            assert found.tobytes() == values.tobytes(), name
        else:
            assert found.shape == values.shape, name
            assert (found == values).all(), name
