#!/usr/bin/env node
/** The command `faena`. Loads the rest only where it can run, so that an older Node gets a sentence. */
try {
	await import('../node-version.ts');
} catch (error) {
	process.stderr.write(`faena: ${(error as Error).message}\n`);
	process.exit(2);
}
await import('./program.ts');

export {};
