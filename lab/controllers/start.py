"""The controller's process: Ryu with one application, and the witness beside it.

Called as ``python -m lab.controllers.start APPLICATION``: a module, or a file. It says ``ready``
when every switch has all that the application told it, and ends when its input does.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import eventlet.wsgi

# Ryu 4.34 asks for what eventlet dropped in 0.30.3; it only compares with it.
eventlet.wsgi.ALREADY_HANDLED = object()

from ryu.lib import hub  # noqa: E402 (the line above has to come first)

hub.patch(thread=False)

from ryu import cfg  # noqa: E402
from ryu.base.app_manager import AppManager  # noqa: E402 (it registers the options too)

from lab.controllers.settings import CONTROLLERS  # noqa: E402

PORT = 6653


def main(application: str) -> None:
    """Run until told to stop."""
    options = ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", str(PORT)]
    cfg.CONF(args=options, project="ryu", version="flowlab", default_config_files=[])
    manager = AppManager.get_instance()
    manager.load_apps([_module(application), "lab.controllers.witness"])
    contexts = manager.create_contexts()
    hub.joinall(manager.instantiate_apps(**contexts))


def _module(application: str) -> str:
    """The module's name; a file is loaded and gets one."""
    if application in {kind.app for kind in CONTROLLERS.values()}:
        return application
    path = Path(application)
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return path.stem


if __name__ == "__main__":
    main(sys.argv[1])
