"""An MCP server made with the official Python SDK that offers a little of everything.

Over stdio, or with `--http PORT` over Streamable HTTP. Its tools, prompts and resources are called as
those of @modelcontextprotocol/server-everything, so that one set of cases serves both. What it has besides:
the resource demo://cancelled, which names the calls that ended because their client cancelled them.
"""

import argparse
import json
import logging
from typing import Annotated

import anyio
import mcp.types as types
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve, Sample
from mcp.server.mcpserver.prompts.base import UserMessage
from pydantic import BaseModel

CANCELLED = "demo://cancelled"

# Of this process: over stdio that is one client's session, or, on 2026-07-28, everybody's.
subscribed: list[str] = []
cancelled: list[str] = []

server = MCPServer("everything", version="1.0.0", log_level="WARNING")


class Person(BaseModel):
    name: str


@server.tool(name="echo")
def echo(message: str) -> str:
    return f"Echo: {message}"


@server.tool(name="get-sum")
def add(a: float, b: float) -> str:
    return f"The sum of {a:g} and {b:g} is {a + b:g}."


@server.tool(name="trigger-long-running-operation")
async def work(ctx: Context, duration: float = 10, steps: int = 5, label: str = "") -> str:
    try:
        for step in range(1, steps + 1):
            await anyio.sleep(duration / steps)
            await ctx.report_progress(step, steps)
    except anyio.get_cancelled_exc_class():
        cancelled.append(label)
        raise
    return f"Long running operation completed. Duration: {duration:g} seconds, Steps: {steps}."


def sampling(prompt: str) -> Sample:
    said = types.TextContent(type="text", text=f"Resource trigger-sampling-request context: {prompt}")
    return Sample([types.SamplingMessage(role="user", content=said)], max_tokens=100)


@server.tool(name="trigger-sampling-request")
def sample(prompt: str, answer: Annotated[types.CreateMessageResult, Resolve(sampling)]) -> str:
    return f"LLM sampling result: {answer.model_dump_json(by_alias=True, exclude_none=True)}"


def asking() -> Elicit[Person]:
    return Elicit("Please provide inputs for the following fields:", Person)


@server.tool(name="trigger-elicitation-request")
def elicit(person: Annotated[Person, Resolve(asking)]) -> str:
    return f"User inputs:\n- Name: {person.name}"


@server.tool(name="toggle-subscriber-updates")
async def update(ctx: Context) -> str:
    """Says once that every resource subscribed to has changed."""
    for uri in subscribed:
        await ctx.session.send_resource_updated(uri)
    await ctx.notify_resource_updated("demo://resource/dynamic/text/1")
    return f"Updated {len(subscribed)}"


@server.tool(name="toggle-simulated-logging")
async def log(ctx: Context) -> str:
    """Logs one line at the level `warning`."""
    await ctx.warning("Warning-level message")
    return "Logged"


@server.prompt(name="simple-prompt")
def simple() -> str:
    return "This is a simple prompt without arguments."


@server.prompt(name="args-prompt")
def weather(city: str, state: str = "") -> list[UserMessage]:
    return [UserMessage(f"What's weather in {city}{', ' if state else ''}{state}?")]


@server.resource("demo://resource/static/document/features.md", name="features.md", mime_type="text/markdown")
def features() -> str:
    return "# Features\n\nEverything, a little."


@server.resource("demo://resource/dynamic/text/{resourceId}", name="Dynamic Text Resource", mime_type="text/plain")
def text(resourceId: str) -> str:
    return f"Resource {resourceId}: This is a plaintext resource"


@server.resource("demo://resource/dynamic/blob/{resourceId}", name="Dynamic Blob Resource")
def blob(resourceId: str) -> bytes:
    return f"Resource {resourceId}: This is a base64 blob".encode()


@server.resource(CANCELLED, name="cancelled", mime_type="application/json")
def cancelled_calls() -> str:
    return json.dumps(cancelled)


# MCPServer serves `subscriptions/listen` by itself, the older `resources/subscribe` not.
async def subscribe(_ctx, params: types.SubscribeRequestParams) -> types.EmptyResult:
    subscribed.append(str(params.uri))
    return types.EmptyResult()


async def unsubscribe(_ctx, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    subscribed.remove(str(params.uri))
    return types.EmptyResult()


lowlevel = server._lowlevel_server
lowlevel.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
lowlevel.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--http", metavar="PORT", type=int, help="serve Streamable HTTP on this port of 127.0.0.1")
    options = parser.parse_args()
    logging.captureWarnings(True)
    if options.http is None:
        server.run()
    else:
        server.run("streamable-http", host="127.0.0.1", port=options.http)
