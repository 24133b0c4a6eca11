/**
 * The URL of a file in `workers/`: a source file in development, a compiled one in the package. `tsc` does not rewrite the strings in `new URL()`,
 * so this chooses the extension.
 */
export function workerUrl(name: 'dispatcher' | 'heartbeat' | 'thread-entry' | 'process' | 'watchdog'): URL {
	const [asModule, asCommonJs] = import.meta.url.endsWith('.ts') ? ['ts', 'cts'] : ['js', 'cjs'];
	return new URL(`../../workers/${name}.${name === 'thread-entry' ? asCommonJs : asModule}`, import.meta.url);
}
