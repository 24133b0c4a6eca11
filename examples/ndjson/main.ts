/**
 * Strengthens the password hashes of a table of users: NDJSON in, NDJSON out, in the order of the input.
 *
 *     node examples/ndjson/main.ts users.ndjson > strong.ndjson
 *
 * After a stop or a kill the same command computes only the missing part, and prints everything. Exit code: 0 all done,
 * 1 some users failed, 2 bad input.
 */
import {once} from 'node:events';
import {createReadStream} from 'node:fs';
import {open} from 'faena';
import type {User} from './tasks.ts';

const file = process.argv[2] ?? '-';
const faena = await open<typeof import('./tasks.ts')>({
	queue: 'users.db',
	tasks: new URL('./tasks.ts', import.meta.url),
	closeOnSignals: true,
});
// The reader of our output has gone. Ending at once loses nothing.
process.stdout.on('error', () => process.exit(141));
try {
	const results = faena.map('strengthen', users(), {
		batch: `strengthen ${file}`,
		key: user => user.id,
		order: 'input',
		maxAttempts: 1, // a computation fails the same way each time
	});
	for await (const result of results) {
		if (result.status === 'completed') await print(result.result);
		else fail(`${result.key}: ${result.error.message}`, 1);
	}
} catch (error) {
	fail((error as Error).message, 2);
} finally {
	await faena.close();
}

/** Yields users no faster than their results are printed. */
async function* users(): AsyncGenerator<User> {
	const input = file === '-' ? process.stdin : createReadStream(file);
	let rest = '';
	for await (const chunk of input.setEncoding('utf8')) {
		const lines = (rest + chunk).split('\n');
		rest = lines.pop() ?? '';
		for (const line of lines) yield JSON.parse(line);
	}
	if (rest !== '') yield JSON.parse(rest);
}

async function print(value: object): Promise<void> {
	if (!process.stdout.write(`${JSON.stringify(value)}\n`)) await once(process.stdout, 'drain');
}

function fail(message: string, exitCode: number): void {
	console.error(message);
	process.exitCode = exitCode;
}
