"""Faults, before a run begins."""

from __future__ import annotations

import pytest

from lab.disturbances import LinkFlap, NeedsPrivateSwitch, SwitchRestart, needs_private

RESTART = SwitchRestart(after_step=1)
FLAP = LinkFlap(after_step=1, link=("h1", "s1"))


def test_the_machines_own_switch_is_not_restarted():
    needs_private([RESTART], private=True)
    needs_private([FLAP], private=False)
    with pytest.raises(NeedsPrivateSwitch, match="run without --datapath kernel"):
        needs_private([FLAP, RESTART], private=False)
