"""Processes of the rig: started on a core, measured, and ended whatever happens."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .machine import Failure

READY_SECONDS = 30
END_SECONDS = 10
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fail_on_signals():
    """Has what asks this script to end raise a failure, so that every context is left."""
    for number in ENDING:
        signal.signal(number, interrupted)


def interrupted(number, _):
    raise Failure(f"ended by {signal.Signals(number).name}")


class Rig:
    """Owns every process and the folder of temporary files. A context: leaving it ends all."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of them behind.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(self.running):
            process.signal(signal.SIGTERM)
        for process in reversed(self.running):
            process.end()

    def start(self, name, command, core, environment=None, stdin=subprocess.DEVNULL, line=True):
        process = Process(self, name, command, core, environment, stdin)
        self.running.append(process)
        if line:
            process.first_line = process.read_line()
        return process


class Process:
    """One child, and whatever children it has itself."""

    def __init__(self, rig, name, command, core, environment, stdin):
        self.rig = rig
        self.name = name
        self.log = rig.folder / f"{name}-{len(rig.running)}.log"
        prefix = ["taskset", "-c", str(core)]
        if shutil.which("setpriv"):
            # So that a `kill -9` of this script leaves nothing behind either.
            prefix = ["setpriv", "--pdeathsig", "TERM", *prefix]
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [*prefix, *map(str, command)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def read_line(self, seconds=READY_SECONDS):
        """The next line of the standard output; a failure if none comes."""
        ready, _, _ = select.select([self.child.stdout], [], [], seconds)
        line = self.child.stdout.readline() if ready else b""
        if not line:
            raise Failure(f"{self.name} said nothing on its standard output; {self.last_words()}")
        return line.decode().strip()

    def said(self):
        """The first line as JSON."""
        return json.loads(self.first_line)

    def last_words(self):
        text = self.log.read_text(errors="replace").strip()
        return f"its log ends:\n{text[-2000:]}" if text else "its log is empty"

    def is_alive(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.is_alive():
            os.killpg(self.child.pid, number)

    def end(self):
        """Ends it and what it started; comes back when it is gone."""
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            if stream:
                stream.close()
        if self in self.rig.running:
            self.rig.running.remove(self)

    def pids(self):
        """The process and its descendants."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        found = [self.child.pid]
        for pid in found:
            found.extend(child for child, parent in parents.items() if parent == pid)
        return found

    def cpu_seconds(self):
        """CPU time of all threads so far, also of those that have ended, in seconds.

        A process's own clock (clock_getcpuclockid(3)) counts nanoseconds, /proc/PID/stat 10 ms.
        """
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids()) / 1e9

    def memory(self):
        """Resident set and its proportional share, in KiB, as they are now."""
        rss = pss = 0
        for pid in self.pids():
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M).group(1))
            pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1))
        return {"rss": rss, "pss": pss}

    def settled_memory(self):
        """The same once it has stopped moving, five seconds at most."""
        before = self.memory()
        for _ in range(10):
            time.sleep(0.5)
            now = self.memory()
            if abs(now["pss"] - before["pss"]) <= 16:
                break
            before = now
        return now

    def peak_kib(self):
        """The highest resident set so far, in KiB (VmHWM: no looking while it works)."""
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        return sum(int(re.search(r"^VmHWM:\s+(\d+)", text, re.M).group(1)) for text in texts)
