// What client.mjs and upstream.mjs share: the installed clients, the key, and what went over the wire.
//
// Line 2 is @modelcontextprotocol/client, which can be told any version; line 1 is
// @modelcontextprotocol/sdk, which always offers the newest version it knows (2025-11-25).
// The packages are looked up from the folder that NODE_MODULES_OF names (see ../client).

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const modules = createRequire(`${process.env.NODE_MODULES_OF ?? '.'}/package.json`);
const load = async (name) => import(pathToFileURL(modules.resolve(name)).href);

export class Failed extends Error {}

export const say = (line) => process.stdout.write(`${line}\n`);
export const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const oneLine = (error) => `${error?.name ?? 'Error'}: ${String(error?.message ?? error).split('\n')[0]}`;

export function giveUp(text) {
    process.stderr.write(`client.mjs: ${text}\n`);
    process.exit(2);
}

// What was typed: both programs' own options, and those that they have in common.
export function typed(own) {
    const common = {
        url: { type: 'string', default: process.env.KEYWARD_URL },
        protocol: { type: 'string' },
        line: { type: 'string', default: '2' },
        probe: { type: 'boolean', default: false },
        case: { type: 'string', multiple: true, default: [] },
    };
    return parseArgs({ options: { ...common, ...own } }).values;
}

export function apiKey() {
    const key = process.env.KEYWARD_KEY_FILE
        ? readFileSync(process.env.KEYWARD_KEY_FILE, 'utf8').trim()
        : process.env.KEYWARD_KEY;
    return key || giveUp('no API key: set KEYWARD_KEY or KEYWARD_KEY_FILE');
}

// The classes of one line of the client, its package's name, and its release.
export async function sdk(line) {
    const packageName = line === '1' ? '@modelcontextprotocol/sdk' : '@modelcontextprotocol/client';
    const exported =
        line === '1'
            ? {
                  ...(await load('@modelcontextprotocol/sdk/types.js')),
                  ...(await load('@modelcontextprotocol/sdk/client/index.js')),
                  ...(await load('@modelcontextprotocol/sdk/client/streamableHttp.js')),
              }
            : await load('@modelcontextprotocol/client');
    const [folder] = modules.resolve.paths(packageName).map((path) => `${path}/${packageName}/package.json`);
    return { ...exported, packageName, release: JSON.parse(readFileSync(folder, 'utf8')).version };
}

// The options that make a client speak one protocol version.
export function versionOptions(line, protocol, probe) {
    if (line === '1') return {};
    if (probe) return { versionNegotiation: { mode: 'auto' } };
    if (protocol >= '2026-07-28') return { versionNegotiation: { mode: { pin: protocol } } };
    return { supportedProtocolVersions: [protocol] };
}

// What really went over HTTP, so that a negotiated version is believed only when it was used.
export function tapped() {
    const wire = { requests: [], statuses: [] };
    wire.fetch = async (input, init) => {
        const headers = new Headers(init?.headers);
        const verb = init?.method ?? 'GET';
        const message = typeof init?.body === 'string' ? JSON.parse(init.body) : {};
        const exchange = {
            verb,
            method: message.method,
            version: headers.get('mcp-protocol-version') ?? 'none',
            received: '',
        };
        exchange.ended = new Promise((resolve) => (exchange.end = resolve));
        wire.requests.push(exchange);
        const response = await fetch(input, init);
        exchange.status = response.status;
        wire.statuses.push(`${response.status} ${verb} ${new URL(String(input)).pathname}`);
        return watched(response, exchange);
    };
    wire.of = (verb, method) => wire.requests.filter((sent) => sent.verb === verb && sent.method === method);
    wire.versionsOf = (...methods) => [
        ...new Set(wire.requests.filter(({ method }) => methods.includes(method)).map(({ version }) => version)),
    ];
    return wire;
}

// The same response, of which `exchange` learns what arrives and when it ends, in whichever way.
function watched(response, exchange) {
    if (!response.body) {
        exchange.end();
        return response;
    }
    const reader = response.body.getReader();
    const text = new TextDecoder();
    const body = new ReadableStream({
        async pull(controller) {
            try {
                const { done, value } = await reader.read();
                if (!done) {
                    exchange.received += text.decode(value, { stream: true });
                    return controller.enqueue(value);
                }
                exchange.end();
                controller.close();
            } catch (error) {
                exchange.end();
                controller.error(error);
            }
        },
        cancel(reason) {
            exchange.end();
            return reader.cancel(reason);
        },
    });
    return new Response(body, response);
}
