/**
 * URL of a file in `workers/`, beside the sources in development and beside their compiled form in the package: `tsc` leaves
 * the strings in `new URL()` alone.
 */
export function workerUrl(name: 'dispatcher' | 'heartbeat' | 'thread'): URL {
	const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
	return new URL(`../workers/${name}.${extension}`, import.meta.url);
}
