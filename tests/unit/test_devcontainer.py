"""The container for editors: one set-up path, and no more rights than a run needs."""

from __future__ import annotations

import json

from tests.support import ROOT

DEFINITION = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))


def test_it_is_set_up_as_any_machine_is():
    commands = {key: value for key, value in DEFINITION.items() if key.endswith("Command")}
    assert commands == {"postCreateCommand": "./flowlab setup"}


def test_a_run_gets_namespaces_and_no_rights():
    arguments = DEFINITION["runArgs"]
    assert "--security-opt=seccomp=unconfined" in arguments
    assert "--device=/dev/net/tun" in arguments
    assert not [word for word in arguments if "privileged" in word or "cap-add" in word]
    assert DEFINITION["remoteUser"] != "root"


def test_the_live_page_comes_out():
    (port,) = DEFINITION["forwardPorts"]
    assert DEFINITION["portsAttributes"][str(port)]["label"].endswith(f"127.0.0.1:{port}")
