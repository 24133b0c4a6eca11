import {relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import {byLength, keptTimes} from './test/times/times.ts';

const compare = byLength(keptTimes());
const nameOf = path => relative(import.meta.dirname, path);

export default {
	extensions: ['ts'],
	files: ['test/**/*.test.ts'],
	workerThreads: false,
	require: ['./test/times/meter.ts', './test/fixtures/at-once.ts'],
	// The longest begin first: at the end of a run no processor waits for the last file.
	sortTestFiles: (a, b) => compare(nameOf(a), nameOf(b)),
	concurrency: 4,
	timeout: '3m',
	// Most of what a test of whole engines costs is to start Node.js on our sources: kept compiled, that is a third of it.
	environmentVariables: {NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url))},
};
