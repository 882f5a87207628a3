"""Both ways through the collector's loops, compiled and in numpy alone; a store to ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector import kernel
from collector.loading import load
from collector.store import Store
from lab.compiled import compile_kernel
from tests.support import need

GOLDEN = Path(__file__).parents[2] / "golden" / "openvswitch.pcap"


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def each_way(request):
    """Run a module's tests in both ways."""
    if request.param == "numpy":
        with kernel.switched_off():
            yield
        return
    need("cc")
    assert compile_kernel() is None
    yield


@pytest.fixture(scope="module")
def golden_store(tmp_path_factory):
    """A store with what Open vSwitch sent."""
    folder = tmp_path_factory.mktemp("golden-store")
    load(str(GOLDEN), made := Store(folder))
    made.close()
    return folder
