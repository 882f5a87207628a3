"""Both ways through the collector's loops: compiled, and in numpy alone."""

from __future__ import annotations

import pytest

from collector import kernel
from lab.compiled import compile_kernel
from tests.support import need


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
