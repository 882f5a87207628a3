"""The table of information elements."""

from __future__ import annotations

import pytest

from collector.decode.elements import element, elements, netflow9_element, netflow9_scope


def test_the_registry_is_whole():
    numbers = {number for enterprise, number in elements() if not enterprise and number < 1 << 15}
    assert max(numbers) == 533
    # 65 to 69, 97 and 105 to 127 belong to NetFlow v9, 416 and 419 are reserved.
    missing = set(range(1, 534)) - numbers
    assert missing == {*range(65, 70), 97, *range(105, 128), 416, 419}


@pytest.mark.parametrize(
    ("number", "width", "expected"),
    [
        ((0, 1), 4, ("octetDeltaCount", "unsigned64", "octets")),
        ((0, 311), 8, ("samplingProbability", "float64", "")),
        ((0, 154), 8, ("flowStartMicroseconds", "dateTimeMicroseconds", "microseconds")),
        ((0, 520), 32, ("tcpOptionsFull", "octetArray", "")),
        ((0, 520), 3, ("tcpOptionsFull", "unsigned256", "")),
        ((29305, 1), 8, ("reverseOctetDeltaCount", "unsigned64", "octets")),
        ((6871, 14), 2, ("initialTCPFlags", "unsigned16", "")),
        ((6871, 14 | 0x4000), 2, ("reverseInitialTCPFlags", "unsigned16", "")),
        ((6876, 892), 3, ("tunnelKey", "octetArray", "")),
        ((9, 12235), 65535, ("applicationHTTPHost", "string", "")),
        ((35632, 118), 2, ("L7_PROTO", "unsigned16", "")),
        ((0, 8), 16, ("0/8", "octetArray", "")),
        ((4711, 1), 4, ("4711/1", "octetArray", "")),
        ((29305, 32000), 4, ("29305/32000", "octetArray", "")),
    ],
)
def test_elements(number, width, expected):
    assert element(*number, width) == expected


def test_netflow9_names():
    assert netflow9_element(57_472 + 118, 2).name == "L7_PROTO"
    assert netflow9_element(33_002, 2).name == "NF_F_FW_EXT_EVENT"
    assert netflow9_element(60_000, 2).name == "0/60000"
    names = [netflow9_scope(number, 2).name for number in range(1, 5)]
    assert names == ["scopeSystem", "ingressInterface", "lineCardId", "scopeCache"]
    assert netflow9_scope(5, 2).name == "templateId"
    assert netflow9_scope(6, 2).name == "scope6"
