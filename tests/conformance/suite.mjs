// Starts the conformance suite and reads what it found.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Runs `suite server ARGUMENTS`; resolves to its exit code (null if it was killed after `patience` ms) and output. */
export function runSuite(suite, args, patience) {
    return new Promise((resolve) => {
        // The suite needs neither the key nor anything else that stands in the environment.
        const env = { PATH: process.env.PATH, NO_COLOR: '1' };
        const child = spawn(process.execPath, [suite, 'server', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
        let said = '';
        child.stdout.on('data', (chunk) => (said += chunk));
        child.stderr.on('data', (chunk) => (said += chunk));
        const hung = setTimeout(() => child.kill('SIGKILL'), patience);
        child.on('close', (code) => {
            clearTimeout(hung);
            resolve({ code, said });
        });
    });
}

/** The checks of every scenario whose results lie in `folder`. */
export function checksIn(folder) {
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true })
        .filter((name) => name.endsWith('checks.json'))
        .flatMap((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
}

/** The API key that KEYWARD_KEY_FILE or KEYWARD_KEY holds, or undefined. */
export function apiKey() {
    const { KEYWARD_KEY_FILE: file, KEYWARD_KEY: key } = process.env;
    return file ? readFileSync(file, 'utf8').trim() : key;
}
