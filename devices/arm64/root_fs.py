"""A small arm64 system to run programs in, emulated: Debian's, made once and kept."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join, quote

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("SMALTI_CACHE", "~/.cache/smalti")).expanduser()
PACKAGES = "python3,libgomp1,libstdc++6,ca-certificates"
RELEASE = "bookworm"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
NOBODY = "65532:65532"
LONGEST = 900  # seconds for one command: what hangs under emulation hangs for ever


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
        print(f"installing {package}", file=sys.stderr)
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
        for command in (["apt-get", "update", "--quiet"], install):
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if not shutil.which(tool):
        raise MissingToolError(f"{tool} is missing: apt-get install {package}, as root")


def need_emulation() -> None:
    """Let the kernel start arm64 programs by qemu.

    Raises:
        MissingToolError: qemu is missing, or the kernel cannot be told of it.
    """
    if platform.machine() == "aarch64":
        return
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


def as_arm64() -> list[str]:
    """Return the start of a command that sees a Cortex-A72's /proc/cpuinfo.

    ONNX Runtime crashes or hangs at its import where it sees /sys and an x86 machine's, which qemu
    does not hide.
    """
    script = f'mount --bind {quote(str(HERE / "cpuinfo"))} /proc/cpuinfo && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def base_archive() -> Path:
    """Return the root file system's tar archive; making it takes 5 to 15 minutes.

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
        draft = archive.with_name(f"{os.getpid()}.{archive.name}")
        options = ["--variant=minbase", "--architectures=arm64", f"--include={PACKAGES}"]
        print(f"making {archive}, 5 to 15 minutes", file=sys.stderr)
        command = ["mmdebstrap", *options, RELEASE, str(draft)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        os.replace(draft, archive)
    return archive


def base_root() -> Path:
    """Return the root file system unpacked, beside its archive."""
    archive = base_archive()
    folder = archive.with_suffix("")
    if not folder.is_dir():
        draft = archive.with_name(f"{os.getpid()}.{folder.name}")
        draft.mkdir()
        subprocess.run(["tar", "--extract", "--file", archive, "--directory", draft], check=True)
        os.replace(draft, folder)
    return folder


@dataclass(frozen=True)
class Root:
    """A folder with an arm64 system, as a locked-up container sees it.

    It is read-only, has no network, and its programs run as nobody. `shown` are folders of this
    machine by where they are seen; `out` is seen as /out, the one place that can be written to.
    """

    folder: Path
    env: Mapping[str, str]
    shown: Mapping[str, Path] = field(default_factory=dict)
    out: Path | None = None
    user: str = NOBODY
    work: str = "/"

    def run(self, *command: str, cpu: str = "cortex-a72") -> subprocess.CompletedProcess[str]:
        """Run a command under emulation of a CPU, by qemu's name.

        Raises:
            MissingToolError: qemu or binfmt_misc are missing.
            subprocess.TimeoutExpired: it was ended after a quarter of an hour.
        """
        need_emulation()
        isolated = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        script = "\n".join(["set -eu", *self._mounts(), self._start(command, cpu)])
        return subprocess.run(
            [*isolated, "--propagation", "private", "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )

    def _mounts(self) -> Iterator[str]:
        """Give shell commands that lock the folder up; for /proc/cpuinfo, see `as_arm64`."""
        root = quote(str(self.folder))
        shown = {**self.shown, **({"/out": self.out} if self.out else {})}
        for target in shown:
            (self.folder / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        yield f"mount --bind {root} {root}"
        yield f"mount -o remount,bind,ro {root}"
        yield f"mount -t proc proc {root}/proc"
        yield f"mount --bind {quote(str(HERE / 'cpuinfo'))} {root}/proc/cpuinfo"
        yield f"mount --rbind /sys {root}/sys"
        for target, source in shown.items():
            yield f"mount --bind {quote(str(source.resolve()))} {root}{target}"
            if target != "/out":
                yield f"mount -o remount,bind,ro {root}{target}"

    def _start(self, command: tuple[str, ...], cpu: str) -> str:
        env = [f"{name}={value}" for name, value in {**self.env, "QEMU_CPU": cpu}.items()]
        inside = f"cd {quote(self.work)} && exec {join(['env', '-i', *env, *command])}"
        chroot = ["chroot", f"--userspec={self.user}", str(self.folder), "/bin/sh", "-c", inside]
        return f"exec {join(chroot)}"
