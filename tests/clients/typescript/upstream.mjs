// Drives one upstream server through everything that it offers, with the official TypeScript client.
//
// Expects what ../upstreams/everything.py and @modelcontextprotocol/server-everything have in common.
// Prints one line per case, `ok ...` or `not ok ...`, and exits with 1 when any case failed.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Failed, after, apiKey, giveUp, oneLine, say, sdk, tapped, typed, versionOptions } from './sdk.mjs';

const PATIENCE_MS = 20_000;
const FEATURES = 'demo://resource/static/document/features.md';
const DYNAMIC = 'demo://resource/dynamic';
const CHANGING = `${DYNAMIC}/text/1`;
const CANCELLED = 'demo://cancelled';
const LOG_LEVEL = 'io.modelcontextprotocol/logLevel';

const options = typed({
    // What the lines call the server, and what kind it is: `reference` or `python`.
    upstream: { type: 'string' },
    server: { type: 'string' },
    // How long the streams of the case `cut` may stay open.
    'cut-s': { type: 'string', default: '60' },
});
for (const needed of ['url', 'protocol', 'upstream', 'server']) if (!options[needed]) giveUp(`--${needed} is missing`);

const modern = options.protocol >= '2026-07-28';
const exported = await sdk(options.line);
const { Client, StreamableHTTPClientTransport, packageName, release } = exported;

const expect = (holds, complaint) => {
    if (!holds) throw new Failed(typeof complaint === 'string' ? complaint : JSON.stringify(complaint));
};

async function within(what, ms, promise) {
    let timer;
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Failed(`${what} in ${ms} ms`)), ms)));
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

async function until(what, holds) {
    const end = performance.now() + PATIENCE_MS;
    while (!(await holds())) {
        expect(performance.now() < end, what);
        await after(50);
    }
}

// Line 1 names a handler by its schema, line 2 by the method.
const subjects = {
    'sampling/createMessage': 'CreateMessageRequestSchema',
    'elicitation/create': 'ElicitRequestSchema',
    'notifications/message': 'LoggingMessageNotificationSchema',
    'notifications/resources/updated': 'ResourceUpdatedNotificationSchema',
};
const subject = (method) => (options.line === '1' ? exported[subjects[method]] : method);

// What stands behind the client: a model that samples, a person who fills in, an eye on the notices.
const person = { sampled: [], elicited: [] };
person.logged = new Promise((resolve) => (person.log = resolve));
person.updated = new Promise((resolve) => (person.update = resolve));

function answering(client) {
    client.setRequestHandler(subject('sampling/createMessage'), ({ params }) => {
        person.sampled.push([params.messages[0].content].flat()[0].text);
        return { role: 'assistant', model: 'none', content: { type: 'text', text: `sampled by ${process.pid}` } };
    });
    client.setRequestHandler(subject('elicitation/create'), ({ params }) => {
        person.elicited.push(params.message);
        return { action: 'accept', content: { name: `Ada ${process.pid}` } };
    });
    client.setNotificationHandler(subject('notifications/message'), person.log);
    client.setNotificationHandler(subject('notifications/resources/updated'), ({ params }) => {
        if (params.uri === CHANGING) person.update();
    });
    return client;
}

// What a promise was rejected with, if it was.
const failure = (promise) =>
    promise.then(
        () => undefined,
        (error) => error,
    );

let wire = tapped();
let client;

async function connect(key) {
    const identity = { name: 'keyward-client-tests', version: '1.0.0' };
    const made = new Client(identity, {
        capabilities: { sampling: {}, elicitation: {} },
        ...versionOptions(options.line, options.protocol, options.probe),
    });
    const transport = new StreamableHTTPClientTransport(new URL(options.url), {
        fetch: wire.fetch,
        requestInit: { headers: { 'X-API-Key': key } },
    });
    await answering(made).connect(transport);
    const negotiated = made.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
    expect(negotiated === options.protocol, `negotiated ${negotiated} instead of ${options.protocol}`);
    return made;
}

const textOf = (result) => {
    const text = result.content.map((block) => block.text).join('\n');
    expect(!result.isError, `the tool failed: ${text}`);
    return text;
};
// Line 1 takes a result schema between the two.
const callTool = (params, requestOptions) =>
    options.line === '1' ? client.callTool(params, undefined, requestOptions) : client.callTool(params, requestOptions);
const call = async (name, args = {}, requestOptions) => textOf(await callTool({ name, arguments: args }, requestOptions));
const read = async (uri) => (await client.readResource({ uri })).contents[0];

async function tools() {
    const names = (await client.listTools()).tools.map(({ name }) => name);
    const wanted = ['echo', 'get-sum', 'trigger-sampling-request', 'trigger-elicitation-request'];
    expect(wanted.every((name) => names.includes(name)), `listed ${names}`);
    const said = await call('get-sum', { a: 19, b: 23 });
    expect(said === 'The sum of 19 and 23 is 42.', said);
    return `${names.length} listed`;
}

async function prompts() {
    const names = (await client.listPrompts()).prompts.map(({ name }) => name);
    expect(names.includes('simple-prompt') && names.includes('args-prompt'), `listed ${names}`);
    const simple = await client.getPrompt({ name: 'simple-prompt' });
    expect(simple.messages[0].content.text === 'This is a simple prompt without arguments.', simple);
    const filled = await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Riga', state: 'Latvia' } });
    expect(filled.messages[0].content.text === "What's weather in Riga, Latvia?", filled);
    return `${names.length} listed, 2 got`;
}

async function resources() {
    const uris = (await client.listResources()).resources.map(({ uri }) => uri);
    expect(uris.includes(FEATURES), `listed ${uris}`);
    expect((await read(FEATURES)).text.startsWith('# '), 'features.md has no heading');
    const templates = (await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate);
    for (const kind of ['text', 'blob']) {
        expect(templates.includes(`${DYNAMIC}/${kind}/{resourceId}`), `templates ${templates}`);
    }
    const { text } = await read(`${DYNAMIC}/text/7`);
    expect(text.startsWith('Resource 7: '), text);
    const blob = Buffer.from((await read(`${DYNAMIC}/blob/8`)).blob, 'base64').toString();
    expect(blob.startsWith('Resource 8: '), blob);
    return `${uris.length} and ${templates.length} templates listed, 3 read`;
}

async function updates() {
    if (modern) {
        const subscription = await client.listen({ resourceSubscriptions: [CHANGING] });
        await call('toggle-subscriber-updates');
        await within('no notice of the update', PATIENCE_MS, person.updated);
        await subscription.close();
        return 'heard of on subscriptions/listen';
    }
    await client.subscribeResource({ uri: CHANGING });
    await call('toggle-subscriber-updates');
    await within('no notice of the update', PATIENCE_MS, person.updated);
    await client.unsubscribeResource({ uri: CHANGING });
    await call('toggle-subscriber-updates');
    return 'heard of';
}

async function logs() {
    // On 2026-07-28 a request says that it wants to hear of what is logged.
    const meta = modern ? { _meta: { [LOG_LEVEL]: 'debug' } } : {};
    textOf(await callTool({ name: 'toggle-simulated-logging', arguments: {}, ...meta }));
    await within('no log notice', PATIENCE_MS, person.logged);
    if (options.server === 'reference') await call('toggle-simulated-logging');
    return 'heard of';
}

async function progress() {
    const seen = [];
    const onprogress = ({ progress, total }) => seen.push([progress, total]);
    const said = await call('trigger-long-running-operation', { duration: 0.3, steps: 3 }, { onprogress });
    expect(said === 'Long running operation completed. Duration: 0.3 seconds, Steps: 3.', said);
    expect(isDeepStrictEqual(seen, [[1, 3], [2, 3], [3, 3]]), `progress was ${JSON.stringify(seen)}`);
    return '3 notices before the result';
}

async function cancellation() {
    const label = randomUUID();
    const recorded = options.server === 'python';
    const duration = recorded ? 60 : 1.2;
    const cancelling = new AbortController();
    const working = call(
        'trigger-long-running-operation',
        { duration, steps: duration * 5, label },
        { onprogress: () => cancelling.abort(), signal: cancelling.signal },
    );
    const how = await within('the call did not end', PATIENCE_MS, working.catch((error) => error));
    expect(how instanceof Error, `the call was answered: ${how}`);
    expect(cancelling.signal.aborted, `the call ended by itself: ${oneLine(how)}`);
    let proof = 'the server was told';
    if (recorded) {
        await until('the server was not told', async () => (await read(CANCELLED)).text.includes(label));
    } else {
        // The reference server's tool works on; its SDK answers no call that was cancelled.
        await after(1500);
        const answered = wire.requests.some(({ received }) => received.includes('Duration: 1.2 seconds'));
        expect(!answered, 'the cancelled call was answered');
        proof = 'never answered';
    }
    const said = await call('echo', { message: 'still here' });
    expect(said === 'Echo: still here', said);
    return `${proof}, and the session goes on`;
}

async function sampling() {
    const said = await call('trigger-sampling-request', { prompt: `ping ${process.pid}` });
    expect(said.includes(`sampled by ${process.pid}`), said);
    const asked = [`Resource trigger-sampling-request context: ping ${process.pid}`];
    expect(isDeepStrictEqual(person.sampled, asked), `asked ${JSON.stringify(person.sampled)}`);
    return askedBy('sampling/createMessage');
}

async function elicitation() {
    const said = await call('trigger-elicitation-request');
    expect(said.includes(`Name: Ada ${process.pid}`), said);
    expect(isDeepStrictEqual(person.elicited, ['Please provide inputs for the following fields:']), person.elicited);
    return askedBy('elicitation/create');
}

// How the server asked, and that it is how this protocol version does it.
function askedBy(method) {
    const rounds = wire
        .of('POST', 'tools/call')
        .filter(({ received }) => received.includes('"input_required"') && received.includes(method));
    expect(rounds.length > 0 === modern, `${rounds.length} answers were input_required`);
    return modern ? 'by input_required' : 'by a request to the client';
}

// The key of KEYWARD_SCOPED_KEY_FILE reaches one tool, `echo`, and nothing else.
async function scoped() {
    client = await connect(readFileSync(process.env.KEYWARD_SCOPED_KEY_FILE, 'utf8').trim());
    const names = (await client.listTools()).tools.map(({ name }) => name);
    expect(isDeepStrictEqual(names, ['echo']), `listed ${names}`);
    const said = await call('echo', { message: 'hello' });
    expect(said === 'Echo: hello', said);
    const asks = {
        'tools/call': () => callTool({ name: 'get-sum', arguments: { a: 1, b: 2 } }),
        'prompts/list': () => client.listPrompts(),
        'prompts/get': () => client.getPrompt({ name: 'simple-prompt' }),
        'resources/list': () => client.listResources(),
        'resources/templates/list': () => client.listResourceTemplates(),
        'resources/read': () => client.readResource({ uri: FEATURES }),
    };
    for (const [what, ask] of Object.entries(asks)) {
        const refusal = await failure(ask());
        expect(refusal, `${what} was let in`);
        expect(typeof refusal.code === 'number', `${what}: ${oneLine(refusal)}`);
        const named = refusal.message.includes('scopes') && refusal.message.includes(options.upstream);
        expect(named, `${what} was refused without naming the scope: ${oneLine(refusal)}`);
    }
    await client.close();
    return '1 tool listed and called, 6 requests refused';
}

// Says `running` when a call and a stream are open, and waits until the server has ended both.
async function cut() {
    const running = new Promise((resolve) => {
        const work = { name: 'trigger-long-running-operation', arguments: { duration: 120, steps: 600 } };
        callTool(work, { onprogress: resolve, timeout: 600_000 }).catch(() => {});
    });
    if (modern) await client.listen({ resourceSubscriptions: [CHANGING] });
    await within('no progress', PATIENCE_MS, running);
    const streams = () => wire.of(...(modern ? ['POST', 'subscriptions/listen'] : ['GET', undefined]));
    await until('no stream', () => streams().some(({ status }) => status === 200));
    const opened = [...wire.of('POST', 'tools/call'), ...streams()].filter(({ status }) => status === 200);
    expect(opened.length === 2, `${opened.length} streams open instead of 2`);
    say(`running ${process.pid}`);
    const began = performance.now();
    for (const { ended } of opened) await within('still open', Number(options['cut-s']) * 1000, ended);
    expect(!opened.some(({ received }) => received.includes('completed')), 'the call was answered');
    return `a call and a stream ended, ${Math.round(performance.now() - began)} ms after both were open`;
}

async function wrongKey() {
    const trying = connect(process.env.KEYWARD_WRONG_KEY ?? 'wrong-key-of-the-client-tests');
    const refused = await failure(trying.then((made) => made.listTools()));
    expect(refused, 'a wrong key was let in');
    const { pathname } = new URL(options.url);
    const toServer = wire.statuses.filter((status) => status.endsWith(` POST ${pathname}`));
    expect(
        toServer.length && toServer.every((status) => /^40[13] /.test(status)),
        `answered with ${wire.statuses}, shown as: ${oneLine(refused)}`,
    );
    return `${wire.statuses}, shown as: ${oneLine(refused)}`;
}

const cases = { tools, prompts, resources, updates, logs, progress, cancellation, sampling, elicitation, cut };
// The cases that open a connection of their own.
const otherKeys = { 'wrong-key': wrongKey, scoped };
const label = `${options.upstream} typescript ${packageName.split('/')[1]}-${release}${options.probe ? ',probing' : ''} ${options.protocol}`;
let passed = true;

async function run(name, body) {
    try {
        say(`ok ${label} ${name}: ${await within('hung', 3 * PATIENCE_MS, body())}`);
    } catch (error) {
        passed = false;
        say(`not ok ${label} ${name}: ${error instanceof Failed ? error.message : oneLine(error)}`);
    }
}

for (const [name, body] of Object.entries(otherKeys)) {
    if (options.case.includes(name)) await run(name, body);
    wire = tapped();
}
// All others over one connection, as a client would have it.
const names = options.case.filter((name) => !(name in otherKeys));
if (names.length) {
    try {
        client = await within('no connection', PATIENCE_MS, connect(apiKey()));
        for (const name of names) await run(name, cases[name] ?? giveUp(`no case is called ${name}`));
        const others = new Set(wire.requests.map(({ method }) => method));
        for (const method of [undefined, 'initialize', 'server/discover']) others.delete(method);
        const sent = wire.versionsOf(...others);
        expect(isDeepStrictEqual(sent, [options.protocol]), `sent MCP-Protocol-Version ${sent}`);
        if (!names.includes('cut')) await client.close();
    } catch (error) {
        passed = false;
        say(`not ok ${label} connection: ${error instanceof Failed ? error.message : oneLine(error)}`);
    }
}
process.exit(passed ? 0 : 1);
