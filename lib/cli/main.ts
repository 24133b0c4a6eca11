#!/usr/bin/env node
/** The command `faena`. Loads the rest only where it can run, so that an older Node gets a sentence. */
try {
	await import('../support/node-version.ts');
} catch (error) {
	process.stderr.write(`faena: ${(error as Error).message}\n`);
	process.exit(2);
}
const {run} = await import('./program.ts');

// The summary is of no use to a reader that has gone, and no reason to fail. Whoever writes on stdout looks at what comes of it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
await run(process.argv.slice(2));

export {};
