/**
 * URL of a file in `workers/`, beside the sources in development and beside their compiled form in the package: `tsc` leaves
 * the strings in `new URL()` alone.
 */
export function workerUrl(name: 'dispatcher' | 'heartbeat' | 'thread-entry' | 'process' | 'watchdog'): URL {
	const [asModule, asCommonJs] = import.meta.url.endsWith('.ts') ? ['ts', 'cts'] : ['js', 'cjs'];
	return new URL(`../../workers/${name}.${name === 'thread-entry' ? asCommonJs : asModule}`, import.meta.url);
}
