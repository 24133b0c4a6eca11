import {fileURLToPath} from 'node:url';

export default {
	extensions: {ts: 'module'},
	files: ['test/**/*.test.ts'],
	workerThreads: false,
	concurrency: 4,
	timeout: '3m',
	// Most of what a test of whole engines costs is to start Node.js on our sources: kept compiled, that is a third of it.
	environmentVariables: {NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url))},
};
