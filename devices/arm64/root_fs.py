"""A small arm64 system to run programs in, emulated: Debian's, made once and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("SMALTI_CACHE", "~/.cache/smalti")).expanduser()
PACKAGES = "python3,libgomp1,libstdc++6,ca-certificates"
RELEASE = "bookworm"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
NOBODY = "65532:65532"


class MissingToolError(RuntimeError):
    """A tool that is neither here nor could be installed."""


def need(tool: str, package: str) -> None:
    """Install a tool where it is missing, if we may.

    Raises:
        MissingToolError: it is missing and this is no Debian, or not root.
    """
    if shutil.which(tool):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
        subprocess.run(install, check=False, stdout=sys.stderr)
    if not shutil.which(tool):
        raise MissingToolError(f"{tool} is missing: apt-get install {package}, as root")


def need_emulation() -> None:
    """Let the kernel start arm64 programs by qemu.

    Raises:
        MissingToolError: qemu is missing, or the kernel cannot be told of it.
    """
    need("qemu-aarch64-static", "qemu-user-static")
    try:
        if not os.path.ismount(BINFMT):
            mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
            subprocess.run(mount, check=True)
        if not (BINFMT / "qemu-aarch64").exists():
            rule = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes()
            (BINFMT / "register").write_bytes(rule)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingToolError(
            f"binfmt_misc: {error}; run as root on the machine, or in a privileged container"
        ) from None


def base_archive() -> Path:
    """Return the root file system's tar archive; making it takes a quarter of an hour.

    Raises:
        MissingToolError: mmdebstrap, qemu or binfmt_misc are missing.
        subprocess.CalledProcessError: mmdebstrap failed; it has said why.
    """
    archive = CACHE / f"{RELEASE}-arm64.tar"
    if not archive.is_file():
        need("mmdebstrap", "mmdebstrap")
        need("arch-test", "arch-test")
        need_emulation()
        CACHE.mkdir(parents=True, exist_ok=True)
        draft = archive.with_name(f".{os.getpid()}.{archive.name}")
        options = ["--variant=minbase", "--architectures=arm64", f"--include={PACKAGES}"]
        print(f"making {archive}, about 15 minutes", file=sys.stderr)
        command = ["mmdebstrap", *options, RELEASE, str(draft)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        os.replace(draft, archive)
    return archive


def base_root() -> Path:
    """Return the root file system unpacked, beside its archive."""
    archive = base_archive()
    folder = archive.with_suffix("")
    if not folder.is_dir():
        draft = archive.with_name(f".{os.getpid()}.{folder.name}")
        draft.mkdir()
        subprocess.run(["tar", "--extract", "--file", archive, "--directory", draft], check=True)
        os.replace(draft, folder)
    return folder


@dataclass(frozen=True)
class Root:
    """A folder with an arm64 system, as a container sees it: read-only, no network, no rights.

    binds: folders of this machine by where they are seen; /tmp is empty and writable unless bound.
    """

    folder: Path
    env: Mapping[str, str]
    binds: Mapping[str, Path] = field(default_factory=dict)
    user: str = NOBODY
    work: str = "/"
    cpu: str = "cortex-a72"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command under emulation.

        ONNX Runtime's CPU detection crashes where it finds an x86 machine's /proc/cpuinfo, so that
        it is shown a Cortex-A72's.

        Raises:
            MissingToolError: qemu or binfmt_misc are missing.
        """
        need_emulation()
        isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private"]
        return subprocess.run(
            [*isolated, "sh", "-eu", "-c", self._script(command)],
            capture_output=True,
            text=True,
            check=False,
        )

    def _script(self, command: Sequence[str]) -> str:
        root = quote(str(self.folder))
        lines = [
            f"mount --bind {root} {root}",
            f"mount -o remount,bind,ro {root}",
            f"mount -t proc proc {root}/proc",
            f"mount --bind {quote(str(HERE / 'cpuinfo'))} {root}/proc/cpuinfo",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
        ]
        lines += [f"mount --bind {quote(str(s))} {root}{t}" for t, s in self.binds.items()]
        env = [f"{k}={v}" for k, v in {**self.env, "QEMU_CPU": self.cpu}.items()]
        inside = ["cd", self.work, "&&", "exec", "env", "-i", *map(quote, env)]
        shell = " ".join([*inside, *map(quote, command)])
        lines.append(f"exec chroot --userspec={self.user} {root} /bin/sh -c {quote(shell)}")
        return "\n".join(lines)
