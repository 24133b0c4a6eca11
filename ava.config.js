import {fileURLToPath} from 'node:url';

/** They take longest, so they begin first: at the end of a run no processor waits for the last file. */
const LONGEST = [
	'fault/failpoints',
	'property/store',
	'store/sqlite',
	'store/postgres',
	'store/memory',
	'store/blobs',
	'pool/threads',
	'package',
	'cli/map',
	'fault/power-loss',
];
const placeOf = file => LONGEST.findIndex(name => file.endsWith(`/test/${name}.test.ts`)) + 1 || LONGEST.length + 1;

export default {
	extensions: ['ts'],
	files: ['test/**/*.test.ts'],
	workerThreads: false,
	sortTestFiles: (a, b) => placeOf(a) - placeOf(b) || (a < b ? -1 : 1),
	concurrency: 4,
	timeout: '3m',
	// Most of what a test of whole engines costs is to start Node.js on our sources: kept compiled, that is a third of it.
	environmentVariables: {NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url))},
};
