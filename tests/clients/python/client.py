"""Drives one MCP server with the official Python client, on one protocol version.

Which release of the client runs is decided by PYTHONPATH (see ../run): the releases before 2 always
offer the newest protocol version they know, so an older version is spoken by an older release.
Prints one line per case, `ok ...` or `not ok ...`, and exits with 1 when any case failed.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import pathlib
import sys
import time
from importlib.metadata import version

RELEASE = version("mcp")
SECOND_LINE = int(RELEASE.split(".")[0]) >= 2
PATIENCE_S = 30

if SECOND_LINE:
    import httpx2 as http
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
else:
    import httpx as http
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client


class Failed(Exception):
    """A case did not go as expected; the text says how."""


def say(line):
    print(line, flush=True)


def flattened(error):
    """The leaves of an exception group: anyio wraps what went wrong, sometimes several times."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flattened(inner)]
    return [error]


def shown(error):
    """One line of what a person would see of the error."""
    texts = (str(leaf) if isinstance(leaf, Failed) else f"{type(leaf).__name__}: {leaf}" for leaf in flattened(error))
    return "; ".join(dict.fromkeys(text.splitlines()[0] for text in texts if text))


class Wire:
    """What really went over HTTP, so that a negotiated version is believed only when it was used."""

    def __init__(self):
        self.requests = []
        self.statuses = []

    async def on_request(self, request):
        method = None
        if request.method == "POST":
            with contextlib.suppress(ValueError):
                method = json.loads(request.content or b"null").get("method")
        self.requests.append((request.method, method, request.headers.get("mcp-protocol-version")))

    async def on_response(self, response):
        self.statuses.append(response.status_code)

    def factory(self, headers=None, timeout=None, auth=None):
        return http.AsyncClient(
            headers=headers,
            timeout=timeout or http.Timeout(PATIENCE_S, read=None),
            auth=auth,
            event_hooks={"request": [self.on_request], "response": [self.on_response]},
            trust_env=False,
        )

    def versions_of(self, *methods):
        return sorted({sent or "none" for _, method, sent in self.requests if method in methods})


@contextlib.asynccontextmanager
async def connected(url, key, protocol, wire, probe, **answers):
    """An open client, and the protocol version it says it negotiated. `answers` are what it is called back with."""
    headers = {"X-API-Key": key}
    if SECOND_LINE:
        mode = "auto" if probe else protocol if protocol >= "2026-07-28" else "legacy"
        async with wire.factory(headers) as http_client:
            transport = streamable_http_client(url, http_client=http_client)
            async with Client(transport, mode=mode, **answers) as client:
                yield client, client.session.protocol_version
    else:
        async with streamablehttp_client(url, headers=headers, httpx_client_factory=wire.factory) as streams:
            async with ClientSession(streams[0], streams[1], **answers) as session:
                answer = await session.initialize()
                yield session, str(answer.protocolVersion)


def attribute(value, *names):
    """The first attribute that is there: the second line spells in snake case what the first had in camel case."""
    for name in names:
        if hasattr(value, name):
            return getattr(value, name)
    raise Failed(f"{type(value).__name__} has none of {names}")


async def list_and_call(options, key):
    expected = options.expect
    wire = Wire()
    async with connected(options.url, key, options.protocol, wire, options.probe) as (client, negotiated):
        if negotiated != options.protocol:
            raise Failed(f"negotiated {negotiated} instead of {options.protocol}")
        names = sorted(tool.name for tool in (await client.list_tools()).tools)
        if names != sorted(expected["tools"]):
            raise Failed(f"listed {names} instead of {sorted(expected['tools'])}")
        for call in expected["calls"]:
            result = await client.call_tool(call["tool"], call.get("arguments", {}))
            check_result(call, result)
        sent = wire.versions_of("tools/list", "tools/call")
        if sent != [options.protocol]:
            raise Failed(f"tools were asked for with MCP-Protocol-Version {sent}")
    return f"{len(names)} tools listed, {len(expected['calls'])} called"


def check_result(call, result):
    where = f"{call['tool']}:"
    texts = [block.text for block in result.content if block.type == "text"]
    is_error = bool(attribute(result, "is_error", "isError"))
    if is_error != call.get("isError", False):
        raise Failed(f"{where} isError is {is_error}: {texts}")
    if "text" in call and texts != [call["text"]]:
        raise Failed(f"{where} text is {texts} instead of {[call['text']]}")
    if "contains" in call and not any(call["contains"] in text for text in texts):
        raise Failed(f"{where} text is {texts}, without {call['contains']!r}")
    if "structured" in call:
        structured = attribute(result, "structured_content", "structuredContent")
        if structured != call["structured"]:
            raise Failed(f"{where} structured content is {structured} instead of {call['structured']}")
        if not texts or json.loads(texts[0]) != call["structured"]:
            raise Failed(f"{where} text {texts} is not the structured content as JSON")


async def wrong_key(options):
    wire = Wire()
    began = time.monotonic()
    try:
        async with connected(options.url, options.wrong_key, options.protocol, wire, options.probe) as (client, _):
            await client.list_tools()
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
            raise
        after_ms = (time.monotonic() - began) * 1000
        if not wire.statuses or any(status not in (401, 403) for status in wire.statuses):
            raise Failed(f"answered with {wire.statuses}, shown as: {shown(error)}") from error
        return f"{wire.statuses} in {after_ms:.0f} ms, shown as: {shown(error)}"
    raise Failed("a wrong key was let in")


async def listen(options, key):
    """Opens `subscriptions/listen`, says so, and says when the server ended it."""
    if not SECOND_LINE or options.protocol < "2026-07-28":
        raise Failed("subscriptions/listen needs protocol version 2026-07-28")
    from mcp.client.subscriptions import SubscriptionLost

    wire = Wire()
    async with connected(options.url, key, options.protocol, wire, options.probe) as (client, _):
        async with client.listen(tools_list_changed=True) as subscription:
            honored = subscription.honored.model_dump(by_alias=True, exclude_none=True)
            say(f"listening python {options.protocol} {json.dumps(honored)}")
            began = time.monotonic()

            async def until_it_ends():
                try:
                    async for event in subscription:
                        say(f"event python {type(event).__name__}")
                except SubscriptionLost:
                    return "lost"
                return "graceful"

            try:
                how = await asyncio.wait_for(until_it_ends(), options.listen_s)
            except TimeoutError:
                if options.may_stay_open:
                    return f"open for {options.listen_s:g} s"
                raise Failed(f"the stream was still open after {options.listen_s:g} s") from None
            after_ms = (time.monotonic() - began) * 1000
            say(f"ended python {options.protocol} {how} after {after_ms:.0f} ms")
            return f"ended ({how})"


async def run_case(options, name, case):
    label = f"python {options.protocol} {name} (mcp {RELEASE}{', probing' if options.probe else ''})"
    try:
        said = await asyncio.wait_for(case, options.listen_s + PATIENCE_S)
    except TimeoutError:
        say(f"not ok {label}: hung")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        say(f"not ok {label}: {shown(error)}")
    else:
        say(f"ok {label}: {said}")
        return True
    return False


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("KEYWARD_URL"))
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--probe", action="store_true", help="find the version with server/discover instead of being told")
    parser.add_argument("--expect", type=pathlib.Path, help="what the server offers; see README.md")
    parser.add_argument("--case", choices=["call", "wrong-key", "listen"], action="append", required=True)
    parser.add_argument("--listen-s", type=float, default=60, help="how long the stream may stay open")
    parser.add_argument("--may-stay-open", action="store_true", help="a stream that is still open then is no failure")
    options = parser.parse_args()
    if not options.url:
        parser.error("no server: set KEYWARD_URL or give --url")
    key = os.environ.get("KEYWARD_KEY", "")
    if file := os.environ.get("KEYWARD_KEY_FILE"):
        key = pathlib.Path(file).read_text().strip()
    if not key:
        parser.error("no API key: set KEYWARD_KEY or KEYWARD_KEY_FILE")
    options.wrong_key = os.environ.get("KEYWARD_WRONG_KEY", "wrong-key-of-the-client-tests")
    options.expect = json.loads(options.expect.read_text()) if options.expect else {"tools": [], "calls": []}
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "CRITICAL"))
    passed = True
    for name in options.case:
        case = {
            "call": lambda: list_and_call(options, key),
            "wrong-key": lambda: wrong_key(options),
            "listen": lambda: listen(options, key),
        }[name]
        passed &= await run_case(options, name, case())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
