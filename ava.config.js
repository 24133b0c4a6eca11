import {readFileSync} from 'node:fs';
import {relative} from 'node:path';
import {fileURLToPath} from 'node:url';

/** Milliseconds that each file took when times were last kept: `npm test -- --keep-times`. */
const times = JSON.parse(readFileSync(new URL('test/times/times.json', import.meta.url), 'utf8'));
const timeOf = file => times[relative(import.meta.dirname, file)]?.wallMs ?? 0;

export default {
	extensions: ['ts'],
	files: ['test/**/*.test.ts'],
	workerThreads: false,
	require: ['./test/times/meter.ts'],
	// The longest first: at the end of a run no processor waits for the last file.
	sortTestFiles: (a, b) => timeOf(b) - timeOf(a) || (a < b ? -1 : 1),
	concurrency: 4,
	timeout: '3m',
	// Most of what a test of whole engines costs is to start Node.js on our sources: kept compiled, that is a third of it.
	environmentVariables: {NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url))},
};
