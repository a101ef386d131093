"""What is measured: the upstream itself, and three proxies before it."""

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .machine import Failure, find

BENCH = Path(__file__).parent.parent
KEY_COUNT = 1000
HOST_JSON = {
    "version": "2.0",
    "extensions": {
        "workflow": {"McpServerEndpoints": {"enable": True, "authentication": {"type": "ApiKey"}}}
    },
}
MESSAGE = "the quick brown fox jumps over the lazy dog"
VERSIONS = ("2025-11-25", "2026-07-28")


class Contender:
    """A process that answers MCP at an address and a path, with a key or without."""

    def __init__(self, name, process, address, path, key=None):
        self.name = name
        self.process = process
        self.address = address
        self.path = path
        self.key = key

    def end(self):
        self.process.end()

    def headers(self, version, method="tools/call", session=None):
        lines = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": version,
        }
        if version == "2026-07-28":
            lines["Mcp-Method"] = method
            if method == "tools/call":
                lines["Mcp-Name"] = "echo"
        if session:
            lines["Mcp-Session-Id"] = session
        if self.key:
            lines["X-API-Key"] = self.key
        return lines

    def ask(self, headers, body):
        """One request on a connection of its own: status, headers, text."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("POST", self.path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def open_session(self):
        params = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1.0.0"},
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        headers = self.headers("2025-11-25", "initialize")
        status, answered, text = self.ask(headers, json.dumps(body))
        session = answered.get("Mcp-Session-Id")
        if status != 200 or not session:
            raise Failure(f"{self.name} opened no session: {status} {text[:500]}")
        return session

    def prove(self):
        """That it answers what the upstream answers, and nobody without a key."""
        for version in VERSIONS:
            sessions = [None] if version == "2026-07-28" else [None, self.open_session()]
            for session in sessions:
                status, _, text = self.ask(self.headers(version, session=session), call(version))
                if status != 200 or json.loads(text)["result"]["content"][0]["text"] != MESSAGE:
                    raise Failure(f"{self.name} answered a call of {version}: {status} {text[:500]}")
        if self.key:
            for wrong in (None, self.key[:-1] + ("A" if self.key[-1] != "A" else "B")):
                headers = self.headers("2025-11-25")
                headers.pop("X-API-Key")
                if wrong:
                    headers["X-API-Key"] = wrong
                status, _, _ = self.ask(headers, call("2025-11-25"))
                if status != 401:
                    raise Failure(f"{self.name} let a request in with no key or a wrong one: {status}")


def call(version):
    """The body that every request has."""
    params = {"name": "echo", "arguments": {"message": MESSAGE}}
    if version == "2026-07-28":
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": version,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1.0.0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return json.dumps(message, separators=(",", ":"))


def upstream(rig, programs, core):
    process = rig.start("upstream", [programs["upstream"]], core)
    return Contender("direct", process, process.said()["listen"], "/mcp")


def bare(rig, programs, core, behind):
    process = rig.start("bare", [*programs.get("before", []), programs["bare"], behind.address], core)
    return Contender("bare", process, process.said()["listen"], "/mcp", process.said()["key"])


def nginx(rig, programs, core, behind):
    keys = ["bench_" + secrets.token_urlsafe(48) for _ in range(KEY_COUNT)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = fresh(rig, "nginx")
    template = (BENCH / "nginx.conf").read_text()
    for name, value in {
        "FOLDER": folder,
        "PORT": port,
        "UPSTREAM": behind.address,
        # Its workers would otherwise be somebody who may not enter the folder.
        "USER": "user root;" if os.geteuid() == 0 else "",
        "KEYS": "\n".join(f'    "{key}" 1;' for key in keys),
    }.items():
        template = template.replace(f"@{name}@", str(value))
    (folder / "nginx.conf").write_text(template)
    command = [find("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
    process = rig.start("nginx", command, core, line=False)
    wait_for(process, port)
    return Contender("nginx", process, f"127.0.0.1:{port}", "/mcp", secrets.choice(keys))


def keyward(rig, programs, core, behind):
    folder = fresh(rig, "app")
    server = {"type": "http", "url": f"http://{behind.address}/mcp"}
    (folder / "host.json").write_text(json.dumps(HOST_JSON))
    (folder / "mcp.json").write_text(json.dumps({"servers": {"echo": server}}))
    data = rig.folder / f"{folder.name}-data"
    command = [*programs.get("before", []), programs["keyward"], "serve", folder, "--json"]
    listen = ["--listen", "127.0.0.1:0", "--manage-listen", "127.0.0.1:0", "--data-dir", data]
    process = rig.start("keyward", [*command, *listen], core)
    said = process.said()
    issue = lambda *options: issue_key(programs, data, said["manageListen"], options)
    contender = Contender("keyward", process, said["listen"], "/api/mcpservers/echo/mcp", issue())
    contender.issue = issue
    return contender


def issue_key(programs, data, manage_listen, options):
    """An API key of a Keyward that runs."""
    environment = {"KEYWARD_DATA_DIR": str(data), "PATH": "/usr/bin:/bin"}
    environment["KEYWARD_MANAGE_URL"] = f"http://{manage_listen}"
    issued = subprocess.run(
        [programs["keyward"], "key", "issue", "--server", "echo", "--quiet", *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if issued.returncode != 0:
        raise Failure(f"keyward issued no key: {issued.stderr.strip()}")
    return issued.stdout.strip()


PROXIES = {"nginx": nginx, "bare": bare, "keyward": keyward}


def fresh(rig, name):
    """A folder of its own, which nobody else can read."""
    folder = rig.folder / f"{name}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


def wait_for(process, port):
    for _ in range(300):
        if not process.is_alive():
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise Failure(f"{process.name} does not listen on port {port}; {process.last_words()}")


def build(root, target, bare_features):
    """Compiles Keyward and the rig's own programs; gives their paths."""
    features = ["--features", bare_features] if bare_features else []
    programs = build_keyward(root, target)
    compile_release(BENCH / "Cargo.toml", target, features)
    ours = target / "release" if target else BENCH / "target/release"
    return {**programs, **{name: ours / name for name in ("upstream", "bare", "streams", "cut")}}


def build_keyward(root, target):
    """Compiles Keyward; gives its path."""
    compile_release(root / "Cargo.toml", target)
    return {"keyward": (target if target else root / "target") / "release/keyward"}


def compile_release(manifest, target, features=()):
    if not shutil.which("cargo"):
        raise Failure("cargo is missing: https://rustup.rs")
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest, *features]
    if target:
        command += ["--target-dir", target]
    if subprocess.run(command, check=False).returncode != 0:
        raise Failure(f"cannot build {manifest.parent.name}")
