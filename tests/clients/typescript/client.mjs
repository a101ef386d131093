// Drives one MCP server with the official TypeScript client, on one protocol version.
//
// `--line` chooses the client (see sdk.mjs).
// Prints one line per case, `ok ...` or `not ok ...`, and exits with 1 when any case failed.

import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Failed, after, apiKey, giveUp, oneLine, say, sdk, tapped, typed, versionOptions } from './sdk.mjs';

const PATIENCE_MS = 30_000;

const options = typed({
    expect: { type: 'string' },
    'listen-s': { type: 'string', default: '60' },
    'may-stay-open': { type: 'boolean', default: false },
});

if (!options.url) giveUp('no server: set KEYWARD_URL or give --url');
if (!options.protocol) giveUp('--protocol is missing');
const key = apiKey();
const wrongKey = process.env.KEYWARD_WRONG_KEY ?? 'wrong-key-of-the-client-tests';
const expected = options.expect ? JSON.parse(readFileSync(options.expect, 'utf8')) : { tools: [], calls: [] };
const listenMs = Number(options['listen-s']) * 1000;

const { Client, StreamableHTTPClientTransport, packageName, release } = await sdk(options.line);

async function connected(withKey, wire) {
    const transport = new StreamableHTTPClientTransport(new URL(options.url), {
        fetch: wire.fetch,
        requestInit: { headers: { 'X-API-Key': withKey } },
    });
    const identity = { name: 'keyward-client-tests', version: '1.0.0' };
    const client = new Client(identity, versionOptions(options.line, options.protocol, options.probe));
    await client.connect(transport);
    const negotiated = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    return { client, negotiated };
}

async function listAndCall() {
    const wire = tapped();
    const { client, negotiated } = await connected(key, wire);
    try {
        if (negotiated !== options.protocol) throw new Failed(`negotiated ${negotiated} instead of ${options.protocol}`);
        const names = (await client.listTools()).tools.map(({ name }) => name).sort();
        if (!isDeepStrictEqual(names, [...expected.tools].sort())) {
            throw new Failed(`listed ${names} instead of ${[...expected.tools].sort()}`);
        }
        for (const call of expected.calls) {
            checkResult(call, await client.callTool({ name: call.tool, arguments: call.arguments ?? {} }));
        }
        const sent = wire.versionsOf('tools/list', 'tools/call');
        if (!isDeepStrictEqual(sent, [options.protocol])) {
            throw new Failed(`tools were asked for with MCP-Protocol-Version ${sent}`);
        }
        return `${names.length} tools listed, ${expected.calls.length} called`;
    } finally {
        await client.close();
    }
}

function checkResult(call, result) {
    const texts = result.content.filter(({ type }) => type === 'text').map(({ text }) => text);
    const complain = (what) => {
        throw new Failed(`${call.tool}: ${what}`);
    };
    if (Boolean(result.isError) !== Boolean(call.isError)) complain(`isError is ${result.isError}: ${texts}`);
    if (call.text !== undefined && !isDeepStrictEqual(texts, [call.text])) complain(`text is ${JSON.stringify(texts)}`);
    if (call.contains !== undefined && !texts.some((text) => text.includes(call.contains))) {
        complain(`text is ${JSON.stringify(texts)}, without ${JSON.stringify(call.contains)}`);
    }
    if (call.structured !== undefined) {
        if (!isDeepStrictEqual(result.structuredContent, call.structured)) {
            complain(`structured content is ${JSON.stringify(result.structuredContent)}`);
        }
        if (!texts.length || !isDeepStrictEqual(JSON.parse(texts[0]), call.structured)) {
            complain(`text ${JSON.stringify(texts)} is not the structured content as JSON`);
        }
    }
}

async function refused() {
    const wire = tapped();
    const began = performance.now();
    let client;
    try {
        ({ client } = await connected(wrongKey, wire));
        await client.listTools();
    } catch (error) {
        const seen = wire.statuses.join(', ');
        const toServer = wire.statuses.filter((status) => status.endsWith(` POST ${new URL(options.url).pathname}`));
        if (!toServer.length || !toServer.every((status) => /^40[13] /.test(status))) {
            throw new Failed(`answered with ${seen || 'nothing'}, shown as: ${oneLine(error)}`);
        }
        return `${seen} in ${Math.round(performance.now() - began)} ms, shown as: ${oneLine(error)}`;
    }
    await client.close();
    throw new Failed('a wrong key was let in');
}

// Opens `subscriptions/listen`, says so, and says when the server ended it.
async function listen() {
    const { client } = await connected(key, tapped());
    try {
        const subscription = await client.listen({ toolsListChanged: true }, { timeout: PATIENCE_MS });
        say(`listening typescript ${options.protocol} ${JSON.stringify(subscription.honoredFilter)}`);
        const began = performance.now();
        const how = await Promise.race([subscription.closed, after(listenMs)]);
        if (how === undefined) {
            if (options['may-stay-open']) return `open for ${options['listen-s']} s`;
            throw new Failed(`the stream was still open after ${options['listen-s']} s`);
        }
        const ended = how === 'remote' ? 'lost' : how;
        say(`ended typescript ${options.protocol} ${ended} after ${Math.round(performance.now() - began)} ms`);
        return `ended (${ended})`;
    } finally {
        await client.close();
    }
}

const cases = { call: listAndCall, 'wrong-key': refused, listen };
let passed = true;
for (const name of options.case) {
    const label = `typescript ${options.protocol} ${name} (${packageName.split('/')[1]} ${release}${options.probe ? ', probing' : ''})`;
    const hung = setTimeout(() => {
        say(`not ok ${label}: hung`);
        process.exit(1);
    }, PATIENCE_MS + listenMs);
    try {
        if (!cases[name]) giveUp(`no case is called ${name}`);
        say(`ok ${label}: ${await cases[name]()}`);
    } catch (error) {
        passed = false;
        say(`not ok ${label}: ${error instanceof Failed ? error.message : oneLine(error)}`);
    }
    clearTimeout(hung);
}
process.exit(passed ? 0 : 1);
