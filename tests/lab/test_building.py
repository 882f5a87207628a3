"""What the benchmark of large networks builds: the same one, by plain Mininet and by us."""

from __future__ import annotations

import pytest

from lab.library import find
from tests.benchmarks.large import built_s


@pytest.mark.parametrize("how", ["plain", "ours"])
def test_a_network_is_built_either_way(tmp_path, how):
    assert 0 < built_s(how, find("one-ping"), str(tmp_path)) < 60
