"""A box for the test of the VM, out of Debian's packages: a generic kernel and what Vagrant needs.

There is no boot loader: QEMU starts the kernel, which lies in the box beside the disk. What only
libvirt's session mode needs is in the box's own Vagrantfile, so that flowlab's has none of it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "flowlab-test.box"
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".vagrant", "runs", "__pycache__", ".*_cache"
)
"""What is not copied of a checkout."""

PROGRAMS: Final = {
    "mmdebstrap": "mmdebstrap",
    "genext2fs": "genext2fs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "ssh-keygen": "openssh-client",
}
"""What building needs, each with the package that brings it."""

_SUITE: Final = "bookworm"
_PACKAGES: Final = (
    *("linux-image-amd64", "initramfs-tools", "kmod", "udev", "systemd-sysv", "dbus", "zstd"),
    *("openssh-server", "sudo", "rsync", "qemu-guest-agent", "ca-certificates", "iproute2"),
    *("procps", "python3", "python3-venv"),
)
_DISK_GIB: Final = 8
_WHEELS: Final = "/srv/wheels"
_COMPATIBLE, _OF_POLARS = "polars-runtime-compat", "polars-runtime-32"
"""QEMU 7.2 emulates AVX2 wrongly: sums of polars' usual build come out wrong in the machine. So the
machine has polars' build for processors without AVX2 too, and where that is, polars takes it."""
_AS_USER: Final = "runuser -u vagrant -- env -i HOME=/home/vagrant PATH=/usr/bin:/bin"
_FILES: Final = {
    "etc/hostname": "flowlab\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 flowlab\n",
    "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 0\n",
    # QEMU's user-mode network: a resolver at this address asks the host's.
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    # By driver: a lab's own interfaces must not be touched.
    "etc/systemd/network/box.network": "[Match]\nDriver=virtio_net\n\n[Network]\nDHCP=ipv4\n",
    "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
    "etc/ssh/sshd_config.d/box.conf": "UseDNS no\n",
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {_WHEELS}\n",
    "etc/apt/apt.conf.d/90box": 'Acquire::Languages "none";\n'
    'DPkg::Options:: "--force-unsafe-io";\n',
    "etc/dpkg/dpkg.cfg.d/box": "path-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n",
    # Few modules make a small initial file system, which is unpacked soon.
    "etc/initramfs-tools/conf.d/box": "MODULES=list\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
}
_VAGRANTFILE: Final = """\
Vagrant.configure("2") do |config|
  here = File.dirname(File.expand_path(__FILE__))
  config.ssh.host = "127.0.0.1"
  config.ssh.port = ENV.fetch("FLOWLAB_TEST_PORT")
  config.ssh.private_key_path = File.join(here, "key")
  config.ssh.insert_key = false
  config.vm.boot_timeout = 300
  # The machine's way out, and where the guest agent finds the address that Vagrant waits for.
  # A port group is named so that no interface of the host is asked for.
  config.vm.network "public_network", type: "user", portgroup: "none", mac: "52:54:00:f1:0e:1a",
                    auto_config: false
  config.vm.provider "libvirt" do |machine|
    machine.driver = "qemu"
    machine.uri = "qemu:///session"
    machine.system_uri = "qemu:///session"
    machine.mgmt_attach = false
    machine.qemu_use_agent = true
    machine.default_prefix = "t"
    machine.cpu_mode = "maximum"
    machine.graphics_type = "none"
    machine.kernel = File.join(here, "vmlinuz")
    machine.initrd = File.join(here, "initrd")
    machine.cmd_line = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet"
    # The way in, for ssh alone: libvirt's user-mode network has none.
    machine.qemuargs value: "-netdev"
    machine.qemuargs value: "user,id=ssh,net=10.0.3.0/24,restrict=on," \\
                            "hostfwd=tcp:127.0.0.1:#{ENV.fetch('FLOWLAB_TEST_PORT')}-:22"
    machine.qemuargs value: "-device"
    machine.qemuargs value: "virtio-net-pci,netdev=ssh,addr=0x1e"
  end
end
"""


def build(folder: Path, checkout: Path, run: Callable[..., None]) -> Path:
    """Make the box.

    Args:
        folder: where; takes about 3 GB for a while, 1 GB in the end.
        checkout: the flowlab whose Python packages the box brings along.
        run: runs the command that its arguments are, and raises if it fails.

    Returns:
        The box, for ``vagrant box add``.
    """
    parts, overlay, raw = folder / "parts", folder / "overlay", folder / "disk.ext2"
    parts.mkdir()
    _fetch_wheels(checkout, overlay / _WHEELS[1:], run)
    shutil.copytree(checkout, overlay / "vagrant", symlinks=True, ignore=LEFT_OUT)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(parts / "key"))
    for name, text in {**_FILES, **_settings_of_apt()}.items():
        path = overlay / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    run(*_mmdebstrap(checkout, overlay, parts, raw))
    shutil.rmtree(overlay)
    os.truncate(raw, _DISK_GIB << 30)
    # Status 1: it has mended something. The file system has just been made for a smaller disk.
    run("sh", "-c", 'e2fsck -fp "$0" || [ $? = 1 ]', str(raw))
    run("resize2fs", str(raw))
    run("qemu-img", "convert", "-O", "qcow2", str(raw), str(parts / "box.img"))
    raw.unlink()
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": _DISK_GIB}
    (parts / "metadata.json").write_text(json.dumps(about), encoding="utf-8")
    (parts / "Vagrantfile").write_text(_VAGRANTFILE, encoding="utf-8")
    names = sorted(path.name for path in parts.iterdir())
    run("tar", "-C", str(parts), "-cSf", str(folder / NAME), *names)
    shutil.rmtree(parts)
    return folder / NAME


def _packages_of_flowlab(checkout: Path) -> set[str]:
    """What ``./flowlab setup`` would install: under emulation it would take very long."""
    script = (checkout / "flowlab").read_text(encoding="utf-8")
    lists = re.findall(r"^(?:lab|probe|graph|grade)_programs='([^']*)'", script, re.MULTILINE)
    return {pair.partition(":")[2] for text in lists for pair in text.split()}


def _mmdebstrap(checkout: Path, overlay: Path, parts: Path, raw: Path) -> tuple[str, ...]:
    packages = ",".join((*_PACKAGES, *sorted(_packages_of_flowlab(checkout))))
    public = (parts / "key.pub").read_text(encoding="ascii").strip()
    inside = (
        "useradd --create-home --shell /bin/bash vagrant",
        "install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh",
        f"echo {public} >/home/vagrant/.ssh/authorized_keys",
        "chown vagrant: /home/vagrant/.ssh/authorized_keys",
        "chown -R root: /etc/sudoers.d && chmod 440 /etc/sudoers.d/vagrant",
        "systemctl enable systemd-networkd",
        # The environment is made for this very machine, by the same script as everywhere.
        "systemd-machine-id-setup",
        "chown -R vagrant: /vagrant",
        # Without the host's variables: some of them name folders of the host.
        f"{_AS_USER} /vagrant/flowlab setup",
        f"{_AS_USER} /vagrant/.venv/bin/python -m pip install --quiet --no-deps {_COMPATIBLE}",
        f"rm -r {_WHEELS} /etc/pip.conf",
        "systemctl mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online",
        "update-initramfs -u",
    )
    return (
        *(
            "env",
            f"TMPDIR={raw.parent}",
            "mmdebstrap",
            "--variant=minbase",
            "--format=ext2",
            f"--include={packages}",
        ),
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        '--aptopt=Acquire::Languages "none"',
        "--skip=cleanup/reproducible",
        f"--customize-hook=sync-in {overlay} /",
        f"--customize-hook=chroot \"$1\" sh -euc '{'; '.join(inside)}'",
        f'--customize-hook=cp "$1"/boot/vmlinuz-* {parts}/vmlinuz',
        f'--customize-hook=cp "$1"/boot/initrd.img-* {parts}/initrd',
        # The host's own way to the archive, if it is a machine of the same release.
        *(_SUITE, str(raw), *_sources_of_apt()),
    )


def _is_same_release() -> bool:
    return platform.freedesktop_os_release().get("VERSION_CODENAME") == _SUITE


def _sources_of_apt() -> tuple[str, ...]:
    if not _is_same_release():
        return ()
    folder = Path("/etc/apt")
    files = (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.sources")))
    return tuple(str(one) for one in files if one.is_file() and "debian" in one.name)


def _settings_of_apt() -> dict[str, str]:
    """The host's settings of how packages are fetched (a proxy, say), for the box."""
    dump = subprocess.run(
        ("apt-config", "dump", "--no-empty", "Acquire"), capture_output=True, text=True, check=True
    )
    kept = [line for line in dump.stdout.splitlines() if "Languages" not in line]
    return {"etc/apt/apt.conf.d/80host": "\n".join(kept) + "\n"}


def _fetch_wheels(checkout: Path, folder: Path, run: Callable[..., None]) -> None:
    """Fetch what requirements.lock names, with the host's settings of pip."""
    folder.mkdir(parents=True)
    lock = checkout / "requirements.lock"
    version = re.search(rf"^{_OF_POLARS}==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None, f"{lock} has no {_OF_POLARS}"
    for what in (
        ("--require-hashes", "--no-build-isolation", "--requirement", str(lock)),
        (f"{_COMPATIBLE}=={version[1]}",),
    ):
        python = str(checkout / ".venv/bin/python")
        run(python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), *what)
