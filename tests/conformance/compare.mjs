// Runs both requirement sets against a server directly and through Keyward, over HTTP (also with a tool
// allow-list) and over stdio, and prints what every scenario gave. Exits with 1 when the server itself fails
// a scored scenario, or when Keyward makes a difference where it must not.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { forward } from './forward.mjs';
import { apiKey, checksIn, runSuite } from './suite.mjs';

const REVISIONS = ['2025-11-25', '2026-07-28'];
// A whole set takes seconds; each of its scenarios ends within 30 s by the suite's own limit.
const PATIENCE_MS = 600_000;
// What says something; INFO only tells what was seen on the way.
const VERDICTS = ['SUCCESS', 'FAILURE', 'WARNING', 'SKIPPED'];

const { values: options } = parseArgs({
    options: {
        suite: { type: 'string' },
        direct: { type: 'string' },
        only: { type: 'string' },
        scenario: { type: 'string' },
        over: { type: 'string' },
        verbose: { type: 'boolean', default: false },
    },
});
const giveUp = (text) => {
    process.stderr.write(`compare: ${text}\n`);
    process.exit(2);
};
const key = apiKey();
const url = process.env.KEYWARD_URL;
if (!key || !url) giveUp('no Keyward: run tests/conformance/compare, which starts one');
const revisions = REVISIONS.filter((revision) => !options.only || options.only === revision);
if (!revisions.length) giveUp(`--only takes ${REVISIONS.join(' or ')}`);

/** Name → whether it counts, of the scenarios for servers that a revision's requirements name. */
function requirements(revision) {
    const file = join(dirname(options.suite), '..', 'requirements', `${revision}.yaml`);
    const { server, not_scored: others } = createRequire(options.suite)('yaml').parse(readFileSync(file, 'utf8'));
    return new Map([
        ...server.map((name) => [name, true]),
        ...others.filter(({ leg }) => leg === 'server').map(({ scenario }) => [scenario, false]),
    ]);
}

/** Scenario → its verdicts, from one run of a revision's requirements against `target`. */
async function run(target, revision, into) {
    const only = options.scenario ? ['--scenario', options.scenario, '--spec-version', revision] : ['--requirements', revision];
    const { code, said } = await runSuite(options.suite, ['--url', target, ...only, '--output-dir', into], PATIENCE_MS);
    if (options.verbose || code === null) process.stdout.write(said.replace(/^/gm, '    '));
    if (code === null) giveUp(`the suite hung with ${revision} at ${target}`);
    const folders = readdirSync(into).map((folder) => [/^server-(.+)-\d{4}-\d\d-\d\dT/.exec(folder)?.[1], folder]);
    return new Map(folders.map(([scenario, folder]) => [scenario, verdicts(join(into, folder))]));
}

const verdicts = (folder) => checksIn(folder).filter(({ status }) => VERDICTS.includes(status));
const count = (checks, ...statuses) => checks.filter(({ status }) => statuses.includes(status)).length;
const share = (checks) => `${count(checks, 'SUCCESS')}/${count(checks, 'SUCCESS', 'FAILURE', 'WARNING')}`;
const isFull = (checks) => count(checks, 'SUCCESS') > 0 && count(checks, 'FAILURE', 'WARNING') === 0;
const asText = ({ status, id, name }) => `${status} ${id} (${name})`;

/** The checks of `some` that `others` does not have, each as often as it is missing. */
function missing(some, others) {
    const left = others.map(asText);
    return some.filter((check) => {
        const at = left.indexOf(asText(check));
        if (at >= 0) left.splice(at, 1);
        return at < 0;
    });
}

/** The first line of what the suite says of a check, or nothing. */
const why = ({ errorMessage }) => (errorMessage ? `: ${errorMessage.split('\n', 1)[0].slice(0, 300)}` : '');

const line = (name, scored, ...cells) =>
    process.stdout.write(`${name.padEnd(46)} ${scored.padEnd(6)}${cells.map((cell) => cell.padStart(10)).join('')}\n`);

const results = mkdtempSync(join(tmpdir(), 'keyward-compare-'));
const servers = ['http', 'filtered', 'stdio'].filter((server) => !options.over || options.over === server);
if (!servers.length) giveUp('--over takes http, filtered or stdio');
const forwarders = await Promise.all(servers.map((server) => forward(url.replace('/http/mcp', `/${server}/mcp`), key)));
const targets = { direct: options.direct, ...Object.fromEntries(servers.map((server, at) => [server, forwarders[at].url])) };
const ways = Object.keys(targets);
const notes = [];
let wrong = 0;

/** Compares one way with the direct one: the cell of the table; what differs goes into `notes`. */
function compare(revision, scenario, isScored, way, expected, checks) {
    const lost = missing(expected, checks);
    const gained = missing(checks, expected);
    const differs = lost.length + gained.length > 0;
    // Over stdio, what is not scored may lack what only HTTP has.
    const isWrong = way === 'direct' ? isScored && !isFull(checks) : differs && (isScored || way !== 'stdio');
    const got = way === 'direct' && isWrong ? checks.filter(({ status }) => status !== 'SUCCESS') : gained;
    if (isWrong || differs) notes.push(`${isWrong ? '!' : '~'} ${revision} ${scenario}, ${way}`);
    notes.push(...lost.map((check) => `    directly ${asText(check)}${why(check)}`));
    notes.push(...got.map((check) => `    here     ${asText(check)}${why(check)}`));
    wrong += isWrong ? 1 : 0;
    return `${isWrong ? '!' : differs ? '~' : ''}${share(checks)}`;
}

try {
    for (const revision of revisions) {
        const given = {};
        const took = [];
        for (const way of ways) {
            const began = performance.now();
            given[way] = await run(targets[way], revision, mkdtempSync(join(results, 'run-')));
            took.push(`${((performance.now() - began) / 1000).toFixed(1)} s`);
        }
        const all = [...requirements(revision)].filter(([scenario]) => !options.scenario || options.scenario === scenario);
        const checksOf = (way, scenario) => given[way].get(scenario) ?? [];
        line(revision, '', ...ways);
        for (const [scenario, isScored] of all) {
            const cell = (way) =>
                compare(revision, scenario, isScored, way, checksOf('direct', scenario), checksOf(way, scenario));
            line(scenario, isScored ? 'scored' : '', ...ways.map(cell));
        }
        const sum = (some) => ways.map((way) => share(some.flatMap(([scenario]) => checksOf(way, scenario))));
        line('passed/made, in all', '', ...sum(all));
        line('passed/made, of the scored', '', ...sum(all.filter(([, isScored]) => isScored)));
        line('took', '', ...took);
        process.stdout.write('\n');
    }
} finally {
    for (const forwarder of forwarders) forwarder.close();
    rmSync(results, { recursive: true, force: true });
}
for (const note of notes) process.stdout.write(`${note}\n`);
process.stdout.write(wrong ? `${wrong} that must not be so\n` : 'Through Keyward as directly.\n');
process.exit(wrong ? 1 : 0);
