/**
 * URL of one of the suite's own modules that is reached by URL, not imported, beside the sources in development and beside
 * their compiled form where something is measured: `tsc` leaves the strings in `new URL()` alone.
 */
export function moduleUrl(name: Module): URL {
	return new URL(`../${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}

type Module =
	| 'one'
	| 'measure/tasks'
	| 'measure/arrivals-thread'
	| `subjects/${'ideal' | 'workerpool'}-worker`
	| `trials/${'producer-thread' | 'drainer-process' | 'contender' | 'recovery-victim' | 'recovery-start'}`
	| `peers/${'subjects' | 'stores'}/${string}`;
