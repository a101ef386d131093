"""A PostgreSQL server of the rig's own, which waits for its disk as in production."""

import os
import pwd
import re
import shutil
import subprocess
import time
from pathlib import Path

from .machine import Failure

USER = "keyward"
READY_SECONDS = 60
SETTINGS = ["listen_addresses=", "max_connections=300", "timezone=UTC"]


class Postgres:
    """One server in a folder of its own. It ends with the rig."""

    def __init__(self, rig, cores):
        self.folder = rig.folder / "postgres"
        self.folder.mkdir(mode=0o700)
        self.before = self.account(rig)
        data = self.folder / "data"
        made = self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={USER}", data)
        if made.returncode != 0:
            raise Failure(f"initdb failed: {made.stderr.strip()}")
        command = [*self.before, program("postgres"), "-D", data, "-k", self.folder]
        for setting in SETTINGS:
            command += ["-c", setting]
        self.process = rig.start("postgres", command, cores, line=False)
        for _ in range(READY_SECONDS * 10):
            if self.run("pg_isready", "-q", "-h", self.folder).returncode == 0:
                return
            time.sleep(0.1)
        raise Failure(f"PostgreSQL does not start; {self.process.last_words()}")

    def account(self, rig):
        """Who it runs as: it refuses to be root's, whose temporary folder nobody else can enter."""
        if os.geteuid() != 0:
            return []
        user = pwd.getpwnam("postgres")
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        rig.folder.chmod(0o711)
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def run(self, name, *arguments, text=None):
        command = [*self.before, program(name), *map(str, arguments)]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, cwd="/"
        )

    def database(self, name):
        """Makes a database and gives its address."""
        self.query("postgres", f"CREATE DATABASE {name}")
        return f"postgres:///{name}?host={self.folder}&user={USER}"

    def query(self, database, statement):
        """What a statement gives, one row a line."""
        done = self.run("psql", "-h", self.folder, "-U", USER, "-Atq", "-d", database, "-c", statement)
        if done.returncode != 0:
            raise Failure(f"PostgreSQL refused `{statement}`: {done.stderr.strip()}")
        return done.stdout.strip()

    def version(self):
        return self.query("postgres", "SHOW server_version").split()[0]

    def pgbench(self, database, script, clients, seconds):
        """Runs a script over and over; gives transactions per second and their mean latency in ms."""
        file = self.folder / "script.sql"
        file.write_text(script)
        file.chmod(0o644)
        done = self.run(
            "pgbench", "-h", self.folder, "-U", USER, "-n", "-M", "prepared", "-f", file,
            "-c", clients, "-T", seconds, database,
        )
        rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.M)
        latency = re.search(r"^latency average = ([\d.]+)", done.stdout, re.M)
        failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
        if done.returncode != 0 or not rate or (failed and failed.group(1) != "0"):
            raise Failure(f"pgbench failed: {done.stderr.strip()} {done.stdout.strip()}")
        return float(rate.group(1)), float(latency.group(1))


def program(name):
    """Where one of PostgreSQL's programs is: the newest that Debian has, or the one on the PATH."""
    versions = Path("/usr/lib/postgresql")
    found = sorted(versions.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    if not path:
        raise Failure(f"{name} is missing (Debian: apt-get install postgresql)")
    return path
