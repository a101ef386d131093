"""What the machine is, which tools it has, and who was busy on it."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """The run cannot go on; the text says why, and what to do."""


def need_linux():
    if not sys.platform.startswith("linux"):
        raise Failure("this reads /proc and pins to cores: it needs Linux")
    if find("taskset") is None:
        raise Failure("missing: taskset (util-linux)")


def need_tools(install):
    """Sees that everything is there; installs Debian's packages where it may."""
    need_linux()
    missing = [tool for tool in ("wrk", "nginx") if find(tool) is None]
    if missing:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
        # Where systemd runs, installing nginx also starts it on port 80: not without being asked.
        is_container = not Path("/run/systemd/system").exists()
        may_install = os.geteuid() == 0 and shutil.which("apt-get") and (install or is_container)
        if not may_install:
            raise Failure(
                f"missing: {', '.join(missing)}. On Debian, as root: {' '.join(command)} "
                "(or bench/run --install). Where systemd runs, that starts nginx on port 80."
            )
        print(f"installing {', '.join(missing)}", file=sys.stderr)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["apt-get", "update", "-qq"], command):
            done = subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, check=False)
            if done.returncode != 0 and step is command:
                raise Failure(f"cannot install: `{' '.join(step)}` failed")
    missing = [tool for tool in ("cargo", "wrk", "nginx") if find(tool) is None]
    if missing:
        raise Failure(f"missing: {', '.join(missing)} (cargo: https://rustup.rs)")


def find(tool):
    """Where a program is; also where only root has it on the PATH."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/usr/local/sbin:/sbin")


def cores():
    """The core of wrk and the upstream, and the proxy's own."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Failure("two cores are needed: one for wrk and the upstream, one for the proxy alone")
    return allowed[0], allowed[1]


def facts(root):
    """What a reader needs to judge the figures, or to take them again."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    lock = (Path(__file__).parent.parent / "Cargo.lock").read_text()
    locked = lambda name: re.search(rf'name = "{name}"\nversion = "(.*?)"', lock).group(1)
    git = ["git", "-C", str(root)]
    revision = first_line([*git, "rev-parse", "--short=12", "HEAD"])
    changed = first_line([*git, "status", "--porcelain", "--untracked-files=no"])
    return {
        "CPU": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "date": first_line(["date", "-u", "+%Y-%m-%d %H:%M UTC"]),
        "keyward": revision + (", with changes that are not committed" if changed else ""),
        "rustc": first_line(["rustc", "--version"], cwd=root),
        "libraries": ", ".join(f"{name} {locked(name)}" for name in ("hyper", "hyper-util", "tokio")),
        "nginx": first_line([find("nginx"), "-v"]).split("/")[-1],
        "wrk": first_line([find("wrk"), "-v"]).split(" [")[0].removeprefix("wrk "),
    }


def first_line(command, cwd=None):
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return (done.stdout.splitlines() or [""])[0].strip()


def busy_seconds(core):
    """What a core has worked since the start, for whomever, in seconds; by proc(5), /proc/stat.

    Time in interrupts is left out: the network's own belongs to the load as much as to others.
    """
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, _, _, steal = (int(field) for field in line.split()[1:9])
            return (user + nice + system + steal) / TICKS
    return 0.0
