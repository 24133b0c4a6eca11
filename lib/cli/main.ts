#!/usr/bin/env node
/** The command `faena`. It loads the other code only if Node is new enough, so that on an older Node it ends with a clear message. */
try {
	await import('../support/node.ts');
} catch (error) {
	process.stderr.write(`faena: ${(error as Error).message}\n`);
	process.exit(2);
}
const {run} = await import('./program.ts');

// If the reader of stdout or stderr has gone, the command goes on. Code that prints results checks for that itself.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
await run(process.argv.slice(2));

export {};
