"""An MCP server whose stream never ends, and a client that looks at every event of it."""

import http.client
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PER_SECOND = 200
PADDING = "y" * 160
SILENCE_SECONDS = 30
TOOL = {"name": "one", "inputSchema": {"type": "object"}}


class Upstream(ThreadingHTTPServer):
    """Numbers the events of each stream from 1, until it is told to end them."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.is_ending = threading.Event()
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.is_ending.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A connection that its client has left is nothing to tell."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number, began = 0, time.monotonic()
        while not self.server.is_ending.wait(0.02):
            due = int((time.monotonic() - began) * PER_SECOND)
            for number in range(number + 1, due + 1):
                self.send_event({"number": number, "padding": PADDING})
        self.send_event({"number": number + 1, "is_last": True})
        self.wfile.write(b"0\r\n\r\n")

    def send_event(self, data):
        params = {"level": "info", "data": data}
        message = {"jsonrpc": "2.0", "method": "notifications/message", "params": params}
        event = f"event: message\ndata: {json.dumps(message)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def do_POST(self):
        """Has one tool, so that a key can be scoped to it, and knows nothing else."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"jsonrpc": "2.0", "id": asked.get("id")}
        if asked.get("method") == "tools/list":
            answer["result"] = {"resultType": "complete", "tools": [TOOL]}
        else:
            answer["error"] = {"code": -32601, "message": "Method not found"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


class Stream(threading.Thread):
    """Reads one stream to its last event. What is wrong with it stands in `fault`."""

    def __init__(self, name, address, path, key):
        super().__init__(daemon=True)
        self.name = name
        self.address = address
        self.path = path
        self.key = key
        self.event_count = 0
        self.byte_count = 0
        self.fault = None

    def run(self):
        try:
            self.read()
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self.fault = f"broke after event {self.event_count}: {type(error).__name__}: {error}"

    def read(self):
        connection = http.client.HTTPConnection(self.address, timeout=SILENCE_SECONDS)
        headers = {"X-API-Key": self.key, "Accept": "text/event-stream"}
        connection.request("GET", self.path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            self.fault = f"was answered with {answer.status}: {answer.read(500).decode()}"
            return
        while line := answer.readline():
            self.byte_count += len(line)
            if not line.startswith(b"data:"):
                continue
            data = json.loads(line[5:])["params"]["data"]
            if data["number"] != self.event_count + 1:
                self.fault = f"had event {data['number']} after {self.event_count}"
                return
            self.event_count += 1
            if data.get("is_last"):
                return
        self.fault = f"ended after event {self.event_count}"
