"""Drives one upstream server through everything that it offers, with the official Python client.

Expects what ../upstreams/everything.py and @modelcontextprotocol/server-everything have in common.
Prints one line per case, `ok ...` or `not ok ...`, and exits with 1 when any case failed.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import logging
import os
import pathlib
import sys
import time
import uuid

import anyio

sys.path.append(str(pathlib.Path(__file__).parent))
import client as basics  # noqa: E402
import mcp.types as types  # noqa: E402
from client import Failed, SECOND_LINE, attribute, connected, http, say, shown  # noqa: E402
from pydantic import AnyUrl  # noqa: E402

PATIENCE_S = 20
FEATURES = "demo://resource/static/document/features.md"
DYNAMIC = "demo://resource/dynamic"
CHANGING = f"{DYNAMIC}/text/1"
CANCELLED = "demo://cancelled"
MODERN = "2026-07-28"

if SECOND_LINE:
    from mcp import MCPError as ProtocolError
else:
    from mcp.shared.exceptions import McpError as ProtocolError


class Exchange:
    """One HTTP request, and what came back of its answer so far."""

    def __init__(self, request):
        self.verb = request.method
        self.message = {}
        with contextlib.suppress(ValueError):
            self.message = json.loads(request.content or b"{}")
        self.status = None
        self.received = b""
        self.ended = anyio.Event()


class Wire(basics.Wire):
    """Besides the requests, what the answers brought: some proofs are not to be had from the client."""

    def __init__(self):
        super().__init__()
        self.exchanges = []

    def factory(self, *arguments, **named):
        made = super().factory(*arguments, **named)
        made._transport = Tap(made._transport, self)
        return made

    def of(self, verb, method=None):
        return [e for e in self.exchanges if e.verb == verb and e.message.get("method") == method]


class Tap(http.AsyncBaseTransport):
    def __init__(self, inner, wire):
        self.inner, self.wire = inner, wire

    async def handle_async_request(self, request):
        exchange = Exchange(request)
        self.wire.exchanges.append(exchange)
        try:
            response = await self.inner.handle_async_request(request)
        except BaseException:
            exchange.ended.set()
            raise
        exchange.status = response.status_code
        response.stream = TappedStream(response.stream, exchange)
        return response

    async def aclose(self):
        await self.inner.aclose()


class TappedStream(http.AsyncByteStream):
    def __init__(self, inner, exchange):
        self.inner, self.exchange = inner, exchange

    async def __aiter__(self):
        try:
            async for chunk in self.inner:
                self.exchange.received += chunk
                yield chunk
        finally:
            self.exchange.ended.set()

    async def aclose(self):
        self.exchange.ended.set()
        await self.inner.aclose()


class Person:
    """What stands behind the client: a model that samples, a person who fills in, an eye on the notices."""

    def __init__(self):
        self.sampled, self.elicited = [], []
        self.logged, self.updated = anyio.Event(), anyio.Event()

    async def sample(self, _context, params):
        self.sampled.append(params.messages[0].content.text)
        said = types.TextContent(type="text", text=f"sampled by {os.getpid()}")
        return types.CreateMessageResult(role="assistant", content=said, model="none")

    async def fill_in(self, _context, params):
        self.elicited.append(params.message)
        return types.ElicitResult(action="accept", content={"name": f"Ada {os.getpid()}"})

    async def log(self, _params):
        self.logged.set()

    async def notice(self, message):
        notification = getattr(message, "root", message)
        if isinstance(notification, types.ResourceUpdatedNotification):
            if str(notification.params.uri) == CHANGING:
                self.updated.set()

    def answers(self):
        level = {"log_level": "debug"} if SECOND_LINE else {}
        return {
            "sampling_callback": self.sample,
            "elicitation_callback": self.fill_in,
            "logging_callback": self.log,
            "message_handler": self.notice,
            **level,
        }


def expect(holds, complaint):
    if not holds:
        raise Failed(complaint)


def text_of(result):
    expect(not attribute(result, "is_error", "isError"), f"the tool failed: {result.content}")
    return "\n".join(block.text for block in result.content if block.type == "text")


def uri(text):
    return text if SECOND_LINE else AnyUrl(text)


async def until(what, event, seconds=PATIENCE_S):
    with anyio.move_on_after(seconds):
        await event.wait()
        return
    raise Failed(f"{what} in {seconds} s")


class Cases:
    def __init__(self, options, client, wire, person):
        self.options, self.client, self.wire, self.person = options, client, wire, person
        self.modern = options.protocol >= MODERN

    async def tools(self):
        names = {tool.name for tool in (await self.client.list_tools()).tools}
        missing = {"echo", "get-sum", "trigger-sampling-request", "trigger-elicitation-request"} - names
        expect(not missing, f"not listed: {missing}")
        said = text_of(await self.client.call_tool("get-sum", {"a": 19, "b": 23}))
        expect(said == "The sum of 19 and 23 is 42.", said)
        return f"{len(names)} listed"

    async def prompts(self):
        names = {prompt.name for prompt in (await self.client.list_prompts()).prompts}
        expect({"simple-prompt", "args-prompt"} <= names, f"listed {names}")
        simple = (await self.client.get_prompt("simple-prompt")).messages[0].content.text
        expect(simple == "This is a simple prompt without arguments.", simple)
        filled = await self.client.get_prompt("args-prompt", {"city": "Riga", "state": "Latvia"})
        expect(filled.messages[0].content.text == "What's weather in Riga, Latvia?", filled)
        return f"{len(names)} listed, 2 got"

    async def resources(self):
        listed = {str(resource.uri) for resource in (await self.client.list_resources()).resources}
        expect(FEATURES in listed, f"listed {listed}")
        features = (await self.client.read_resource(uri(FEATURES))).contents[0].text
        expect(features.startswith("# "), features)
        answer = await self.client.list_resource_templates()
        templates = {t.uri_template if SECOND_LINE else t.uriTemplate for t in attribute(answer, "resource_templates", "resourceTemplates")}
        expected = {f"{DYNAMIC}/text/{{resourceId}}", f"{DYNAMIC}/blob/{{resourceId}}"}
        expect(expected <= templates, f"templates {templates}")
        text = (await self.client.read_resource(uri(f"{DYNAMIC}/text/7"))).contents[0].text
        expect(text.startswith("Resource 7: "), text)
        blob = base64.b64decode((await self.client.read_resource(uri(f"{DYNAMIC}/blob/8"))).contents[0].blob)
        expect(blob.startswith(b"Resource 8: "), blob)
        return f"{len(listed)} and {len(templates)} templates listed, 3 read"

    async def updates(self):
        if self.modern:
            from mcp.client.subscriptions import ResourceUpdated

            async with self.client.listen(resource_subscriptions=[CHANGING]) as subscription:
                await self.client.call_tool("toggle-subscriber-updates", {})
                async for event in subscription:
                    expect(isinstance(event, ResourceUpdated) and event.uri == CHANGING, event)
                    return "heard of on subscriptions/listen"
            raise Failed("the subscription ended")
        await self.client.subscribe_resource(uri(CHANGING))
        await self.client.call_tool("toggle-subscriber-updates", {})
        await until("no notice of the update", self.person.updated)
        await self.client.unsubscribe_resource(uri(CHANGING))
        await self.client.call_tool("toggle-subscriber-updates", {})
        return "heard of"

    async def logs(self):
        await self.client.call_tool("toggle-simulated-logging", {})
        await until("no log notice", self.person.logged)
        if self.options.server == "reference":
            await self.client.call_tool("toggle-simulated-logging", {})
        return "heard of"

    async def progress(self):
        seen = []

        async def note(progress, total, _message):
            seen.append((progress, total))

        arguments = {"duration": 0.3, "steps": 3}
        said = text_of(
            await self.client.call_tool("trigger-long-running-operation", arguments, progress_callback=note)
        )
        expect(said == "Long running operation completed. Duration: 0.3 seconds, Steps: 3.", said)
        expect(seen == [(1, 3), (2, 3), (3, 3)], f"progress was {seen}")
        return "3 notices before the result"

    async def cancellation(self):
        label = uuid.uuid4().hex
        recorded = self.options.server == "python"
        exchange = await self.abandon(label, duration=60 if recorded else 1.2)
        if recorded:
            with anyio.move_on_after(PATIENCE_S) as waiting:
                while label not in (await self.client.read_resource(uri(CANCELLED))).contents[0].text:
                    await anyio.sleep(0.05)
            expect(not waiting.cancelled_caught, "the server was not told")
            proof = "the server was told"
        else:
            # The reference server's tool works on; its SDK answers no call that was cancelled.
            await anyio.sleep(1.5)
            everything = b"".join(exchange.received for exchange in self.wire.exchanges)
            expect(b"Duration: 1.2 seconds" not in everything, "the cancelled call was answered")
            proof = "never answered"
        expect(b'"progress"' in exchange.received, "no progress before the end")
        said = text_of(await self.client.call_tool("echo", {"message": "still here"}))
        expect(said == "Echo: still here", said)
        return f"{proof}, and the session goes on"

    async def abandon(self, label, duration):
        """Calls a tool, and cancels the call at its first notice of progress."""
        started = anyio.Event()

        async def note(_progress, _total, _message):
            started.set()

        async def call():
            arguments = {"duration": duration, "steps": int(duration * 5), "label": label}
            await self.client.call_tool("trigger-long-running-operation", arguments, progress_callback=note)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until("no progress", started)
            tasks.cancel_scope.cancel()
        exchange = self.wire.of("POST", "tools/call")[-1]
        if not SECOND_LINE:
            # The first line leaves this to its caller.
            params = types.CancelledNotificationParams(requestId=exchange.message["id"], reason="test")
            notice = types.CancelledNotification(method="notifications/cancelled", params=params)
            await self.client.send_notification(types.ClientNotification(notice))
        return exchange

    async def sampling(self):
        said = text_of(await self.client.call_tool("trigger-sampling-request", {"prompt": f"ping {os.getpid()}"}))
        expect(f"sampled by {os.getpid()}" in said, said)
        asked = [f"Resource trigger-sampling-request context: ping {os.getpid()}"]
        expect(self.person.sampled == asked, f"asked {self.person.sampled}")
        return self.asked_by("sampling/createMessage")

    async def elicitation(self):
        said = text_of(await self.client.call_tool("trigger-elicitation-request", {}))
        expect(f"Name: Ada {os.getpid()}" in said, said)
        expect(self.person.elicited == ["Please provide inputs for the following fields:"], self.person.elicited)
        return self.asked_by("elicitation/create")

    def asked_by(self, method):
        """Says how the server asked, and that it is how this protocol version does it."""
        calls = self.wire.of("POST", "tools/call")
        rounds = [call for call in calls if b'"input_required"' in call.received and method.encode() in call.received]
        expect(bool(rounds) == self.modern, f"{len(rounds)} answers were input_required")
        return "by input_required" if self.modern else "by a request to the client"

    async def cut(self):
        """Says `running` when a call and a stream are open, and waits until the server has ended both."""
        running = anyio.Event()

        async def note(_progress, _total, _message):
            running.set()

        async def call():
            with contextlib.suppress(ProtocolError, http.HTTPError):
                arguments = {"duration": 120, "steps": 600}
                await self.client.call_tool("trigger-long-running-operation", arguments, progress_callback=note)

        async def listen():
            from mcp.client.subscriptions import SubscriptionLost

            with contextlib.suppress(SubscriptionLost, ProtocolError, http.HTTPError):
                async with self.client.listen(resource_subscriptions=[CHANGING]) as subscription:
                    async for _event in subscription:
                        pass

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            if self.modern:
                tasks.start_soon(listen)
            await until("no progress", running)
            stream = ("POST", "subscriptions/listen") if self.modern else ("GET", None)
            with anyio.move_on_after(PATIENCE_S):
                while not any(exchange.status == 200 for exchange in self.wire.of(*stream)):
                    await anyio.sleep(0.05)
            opened = [e for e in self.wire.of("POST", "tools/call") + self.wire.of(*stream) if e.status == 200]
            expect(len(opened) == 2, f"{len(opened)} streams open instead of 2")
            expect(not any(e.ended.is_set() for e in opened), "ended too early")
            say(f"running {os.getpid()}")
            began = time.monotonic()
            for exchange in opened:
                await until("still open", exchange.ended, self.options.cut_s)
            after_ms = (time.monotonic() - began) * 1000
            expect(not any(b"completed" in exchange.received for exchange in opened), "the call was answered")
            tasks.cancel_scope.cancel()
        return f"a call and a stream ended, {after_ms:.0f} ms after both were open"


async def scoped(options):
    """The key of KEYWARD_SCOPED_KEY_FILE reaches one tool, `echo`, and nothing else."""
    key = pathlib.Path(os.environ["KEYWARD_SCOPED_KEY_FILE"]).read_text().strip()
    async with connected(options.url, key, options.protocol, Wire(), options.probe) as (client, _):
        names = [tool.name for tool in (await client.list_tools()).tools]
        expect(names == ["echo"], f"listed {names}")
        said = text_of(await client.call_tool("echo", {"message": "hello"}))
        expect(said == "Echo: hello", said)
        for what, ask in {
            "tools/call": lambda: client.call_tool("get-sum", {"a": 1, "b": 2}),
            "prompts/list": lambda: client.list_prompts(),
            "prompts/get": lambda: client.get_prompt("simple-prompt"),
            "resources/list": lambda: client.list_resources(),
            "resources/templates/list": lambda: client.list_resource_templates(),
            "resources/read": lambda: client.read_resource(uri(FEATURES)),
        }.items():
            try:
                await ask()
            except ProtocolError as refusal:
                named = "scopes" in str(refusal) and options.upstream in str(refusal)
                expect(named, f"{what} was refused without naming the scope: {refusal}")
            else:
                raise Failed(f"{what} was let in")
    return "1 tool listed and called, 6 requests refused"


# The cases that open a connection of their own.
OTHER_KEYS = {"wrong-key": basics.wrong_key, "scoped": scoped}


async def run_case(label, name, case):
    try:
        with anyio.fail_after(3 * PATIENCE_S):
            said = await case
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
            raise
        say(f"not ok {label} {name}: {'hung' if isinstance(error, TimeoutError) else shown(error)}")
        return False
    say(f"ok {label} {name}: {said}")
    return True


async def run_cases(options, key, label):
    """All cases over one connection, as a client would have it."""
    wire, person, passed = Wire(), Person(), True
    for name, case in OTHER_KEYS.items():
        if name in options.case:
            passed &= await run_case(label, name, case(options))
    names = [name for name in options.case if name not in OTHER_KEYS]
    left = list(names)
    if not names:
        return passed
    try:
        async with connected(options.url, key, options.protocol, wire, options.probe, **person.answers()) as (
            client,
            negotiated,
        ):
            expect(negotiated == options.protocol, f"negotiated {negotiated} instead of {options.protocol}")
            cases = Cases(options, client, wire, person)
            for name in names:
                passed &= await run_case(label, name, getattr(cases, name)())
                left.remove(name)
            sent = wire.versions_of(*{method for _, method, _ in wire.requests} - {None, "initialize", "server/discover"})
            expect(sent == [options.protocol], f"sent MCP-Protocol-Version {sent}")
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
            raise
        if left or "cut" not in names:
            say(f"not ok {label} {'+'.join(left) or 'connection'}: {shown(error)}")
            passed = False
    return passed


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("KEYWARD_URL"))
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--probe", action="store_true", help="find the version with server/discover instead of being told")
    parser.add_argument("--upstream", required=True, help="what the lines call the server")
    parser.add_argument("--server", choices=["reference", "python"], required=True, help="what kind of server it is")
    parser.add_argument("--case", action="append", required=True)
    parser.add_argument("--cut-s", type=float, default=60, help="how long the streams of `cut` may stay open")
    options = parser.parse_args()
    key = os.environ.get("KEYWARD_KEY", "")
    if file := os.environ.get("KEYWARD_KEY_FILE"):
        key = pathlib.Path(file).read_text().strip()
    options.wrong_key = os.environ.get("KEYWARD_WRONG_KEY", "wrong-key-of-the-client-tests")
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "CRITICAL"))
    label = f"{options.upstream} python mcp-{basics.RELEASE}{',probing' if options.probe else ''} {options.protocol}"
    return 0 if await run_cases(options, key, label) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
