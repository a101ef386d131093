"""An MCP server over stdio. Its arguments: a marker, and how it behaves."""

import json
import os
import subprocess
import sys
import threading

MARKER, BEHAVIOUR = sys.argv[1], sys.argv[2]
OLDER = "2025-06-18"
lock = threading.Lock()


def write(text):
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()


def send(message):
    write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def text(value):
    return {"content": [{"type": "text", "text": str(value)}], "resultType": "complete"}


def call(message, name, arguments):
    """The result of a tool, or none for one that never answers."""
    token = message["params"].get("_meta", {}).get("progressToken")
    if name == "pid":
        return text(os.getpid())
    if name == "echo":
        return text(arguments["text"])
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "fork":
        sleeper = [sys.executable, "-c", "import time; time.sleep(9999)", MARKER]
        subprocess.Popen(sleeper, start_new_session=arguments.get("away", False))
        return text("forked")
    if name == "progress":
        send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
        return text("done")
    if name == "log":
        send({"method": "notifications/message", "params": {"level": "info", "data": "a secret of the call"}})
        return text("done")
    if name == "ask":
        ASKED.append(message["id"])
        send({"id": "asked", "method": "sampling/createMessage", "params": {"messages": []}})
        return None
    if name == "later":
        send({"id": message["id"], "result": text("now")})
        send({"method": "notifications/resources/updated", "params": {"uri": "desk://later"}})
        return None
    if name == "exit":
        os._exit(3)
    if name == "hang":
        HANGING.append(message["id"])
        return None
    if name == "hanging":
        return text(json.dumps(HANGING))
    if name == "cancelled":
        return text(json.dumps(CANCELLED))
    if name == "wrong":
        # What belongs to nobody, in every form, and then the answer.
        ours = message["id"]
        for ident in (ours + 1000 if isinstance(ours, int) else "x", str(ours) + "0", None, [ours], 1.5):
            send({"id": ident, "result": text("wrong")})
        write("garbage\n\n{\n[]\n\xff\n" + json.dumps([{"jsonrpc": "2.0", "id": ours, "result": 1}]) + "\n")
        send({"id": ours, "result": text("right")})
        send({"id": ours, "result": text("twice")})
        return None
    if name == "large":
        return text("x" * 1024 * arguments["kib"])
    if name == "long":
        while True:
            write("x" * 65536)
    return None


CANCELLED = []
HANGING = []
ASKED = []


def answer(message):
    method, ident = message.get("method"), message.get("id")
    params = message.get("params", {})
    if method == "notifications/cancelled":
        CANCELLED.append(params["requestId"])
    if method is None and ident == "asked":
        send({"id": ASKED.pop(), "result": text(message["result"]["model"])})
    if ident is None or method is None:
        return
    if method == "initialize":
        info = {"name": "desk", "version": "1"}
        send({"id": ident, "result": {"protocolVersion": OLDER, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "server/discover" and BEHAVIOUR == "newer" and "wrong" in params:
        send({"id": ident, "error": {"code": -32602, "message": "wrong"}})
    elif method == "server/discover" and BEHAVIOUR in ("newer", "bloated"):
        send({"id": ident, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
    elif method == "tools/list":
        names = ["pid", "echo", "x" * 9 * 1024 * 1024] if BEHAVIOUR == "bloated" else ["pid", "echo"]
        send({"id": ident, "result": {"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in names]}})
    elif method == "tools/call":
        result = call(message, params["name"], params.get("arguments", {}))
        if result is not None:
            send({"id": ident, "result": result})
    else:
        send({"id": ident, "error": {"code": -32601, "message": "no " + method}})


if BEHAVIOUR == "deaf":
    threading.Event().wait()
if BEHAVIOUR == "stubborn":
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    answer(json.loads(line))
if BEHAVIOUR == "stubborn":
    threading.Event().wait()
