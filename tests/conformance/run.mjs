// Runs the scenarios of scenarios.json against KEYWARD_URL through a forwarder that adds the API key.
// One line per scenario, and the counts at the end; exits with 1 when any scenario failed.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { forward } from './forward.mjs';
import { apiKey, checksIn, runSuite } from './suite.mjs';

// The suite's own limit per scenario is 30 s; one that outlives it by this much has hung.
const PATIENCE_MS = 60_000;

const { values: options } = parseArgs({
    options: {
        suite: { type: 'string' },
        url: { type: 'string', default: process.env.KEYWARD_URL },
        only: { type: 'string' },
        scenario: { type: 'string' },
        verbose: { type: 'boolean', default: false },
    },
});
const giveUp = (text) => {
    process.stderr.write(`conformance: ${text}\n`);
    process.exit(2);
};
if (!options.url) giveUp('no server: set KEYWARD_URL or give --url');
const key = apiKey();
if (!key) giveUp('no API key: set KEYWARD_KEY or KEYWARD_KEY_FILE');

const beside = (name) => new URL(name, import.meta.url).pathname;
const wanted = Object.entries(JSON.parse(readFileSync(beside('scenarios.json'), 'utf8')))
    .filter(([protocol]) => !options.only || options.only === protocol)
    .flatMap(([protocol, scenarios]) => scenarios.map((scenario) => ({ protocol, scenario })))
    .filter(({ scenario }) => !options.scenario || options.scenario === scenario);
if (!wanted.length) giveUp('scenarios.json has no such protocol version or scenario');

const forwarder = await forward(options.url, key);
const results = mkdtempSync(join(tmpdir(), 'keyward-conformance-'));
let passed = 0;
let failed = 0;
let checkCount = 0;
try {
    for (const [index, { protocol, scenario }] of wanted.entries()) {
        const into = join(results, String(index));
        const args = ['--url', forwarder.url, '--spec-version', protocol, '--scenario', scenario];
        args.push('--expected-failures', beside('expected-failures.yaml'), '--output-dir', into);
        const { code, said } = await runSuite(options.suite, args, PATIENCE_MS);
        const checks = checksIn(into);
        const count = (...statuses) => checks.filter(({ status }) => statuses.includes(status)).length;
        // A scenario that only found every message well-formed has measured nothing of its own.
        const ownSuccess = checks.some(({ id, status }) => status === 'SUCCESS' && !id.startsWith('wire-schema'));
        const short = count('FAILURE', 'WARNING');
        const counts = `${count('SUCCESS')} checks passed${short ? `, ${short} did not` : ''}`;
        checkCount += count('SUCCESS');
        if (code === 0 && ownSuccess) {
            passed += 1;
            process.stdout.write(`ok ${protocol} ${scenario}: ${counts}${short ? ' (as expected-failures.yaml says)' : ''}\n`);
        } else {
            failed += 1;
            const stale = [...said.matchAll(/^  \u2713 (.+)$/gm)].map(([, entry]) => entry);
            const why = code === null ? 'hung' : code === 0 ? 'nothing was measured' : counts;
            process.stdout.write(`not ok ${protocol} ${scenario}: ${why}\n`);
            for (const entry of stale) process.stdout.write(`    passes although expected-failures.yaml lists it: ${entry}\n`);
            for (const { id, status, errorMessage } of checks) {
                if (status === 'FAILURE' || status === 'WARNING') process.stdout.write(`    ${status} ${id}: ${errorMessage}\n`);
            }
            if (!checks.length || options.verbose) process.stdout.write(said.replace(/^/gm, '    '));
        }
    }
} finally {
    forwarder.close();
    rmSync(results, { recursive: true, force: true });
}
process.stdout.write(`${checkCount} checks in ${wanted.length} scenarios\n`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed ? 1 : 0);
