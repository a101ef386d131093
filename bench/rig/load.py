"""Rounds of wrk, and what they and the streams measure."""

import json
import statistics
import subprocess
import time

from .contenders import BENCH, call
from .machine import Failure, busy_seconds, find


def round_of_wrk(rig, contender, version, connections, seconds, core, proxy_core, sessions=()):
    """One round: `connections` clients that each ask again as soon as they are answered."""
    headers = contender.headers(version)
    environment = {
        "HEADERS": "\n".join(f"{name}: {value}" for name, value in headers.items()),
        "BODY": call(version),
        "TARGET": contender.path,
        "SESSIONS": "\n".join(sessions),
    }
    command = [find("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", BENCH / "request.lua", f"http://{contender.address}{contender.path}"]
    cpu, busy, began = contender.process.cpu_seconds(), busy_seconds(proxy_core), time.monotonic()
    wrk = rig.start("wrk", command, core, environment, line=False)
    try:
        output = wrk.child.communicate(timeout=seconds + 60)[0].decode()
    except subprocess.TimeoutExpired as error:
        raise Failure(f"wrk did not come back from {contender.name}") from error
    finally:
        wrk.end()
    elapsed = time.monotonic() - began
    cpu = contender.process.cpu_seconds() - cpu
    busy = busy_seconds(proxy_core) - busy
    what = f"{contender.name}, {version}, {connections} connections"
    if wrk.child.returncode != 0 or not output.strip():
        raise Failure(f"wrk failed ({what}); {wrk.last_words()}\n{output}")
    said = json.loads(output.strip().splitlines()[-1])
    if said["refused"] or said["broken"]:
        raise Failure(
            f"{what}: {said['refused']} answers were not 2xx and {said['broken']} sockets failed, of "
            f"{said['requests']} requests; the log of {contender.name}: {contender.process.last_words()}"
        )
    if said["requests"] == 0:
        raise Failure(f"{what}: not one answer")
    return {
        "requests": said["requests"],
        "per_second": said["requests"] / said["us"] * 1e6,
        "p50": said["p50"],
        "p99": said["p99"],
        "cpu": cpu / said["requests"] * 1e6,
        # What others had of the core that is meant for the proxy alone.
        "others": max(0.0, busy - (cpu if contender.name != "direct" else 0)) / elapsed,
    }


def sessions_of(contender, count):
    return [contender.open_session() for _ in range(count)]


def streams(rig, programs, contender, count, core):
    """Memory of a fresh proxy when idle, and with `count` silent streams open through it."""
    environment = {
        "HEADERS": "\n".join(
            f"{name}: {value}"
            for name, value in contender.headers("2025-11-25").items()
            if name not in ("Accept", "Content-Type")
        )
    }
    idle = contender.process.settled_memory()
    command = [programs["streams"], contender.address, contender.path, count]
    holder = rig.start("streams", command, core, environment, stdin=subprocess.PIPE)
    held = contender.process.settled_memory()
    holder.child.stdin.close()
    holder.child.stdin = None
    if holder.child.wait(30) != 0:
        raise Failure(f"{contender.name} did not hold {count} streams; {holder.last_words()}")
    holder.end()
    return {
        "idle_rss": idle["rss"],
        "idle_pss": idle["pss"],
        "streams_rss": held["rss"],
        "stream_kib": (held["pss"] - idle["pss"]) / count,
    }


def median(rounds, figure):
    return statistics.median(round[figure] for round in rounds)


def spread(rounds, figure):
    figures = [round[figure] for round in rounds]
    return min(figures), max(figures)


def ratio(rounds, others, figure):
    """The median of the ratios of rounds that were neighbours: a machine that drifts drifts for both."""
    return statistics.median(a[figure] / b[figure] for a, b in zip(rounds, others))
