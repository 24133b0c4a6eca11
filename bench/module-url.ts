/**
 * URL of one of the suite's own modules that is reached by URL, not imported, beside the sources in development and beside
 * their compiled form in the package: `tsc` leaves the strings in `new URL()` alone.
 */
export function moduleUrl(name: 'one' | 'tasks' | 'subjects/ideal-worker' | 'subjects/workerpool-worker'): URL {
	return new URL(`${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}
