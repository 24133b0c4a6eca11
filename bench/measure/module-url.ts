/**
 * URL of a module of the suite that is not imported but loaded by its URL: of the source if this file is a source, of the compiled
 * module if this file is compiled. `tsc` does not change the file names in `new URL()`.
 */
export function moduleUrl(name: Module): URL {
	return new URL(`../${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
}

type Module =
	| 'one'
	| 'measure/tasks'
	| 'measure/record-statements'
	| 'measure/arrivals-thread'
	| 'measure/command-tasks'
	| 'command-line/tasks'
	| `subjects/${'ideal' | 'workerpool'}-worker`
	| `trials/${'producer-thread' | 'drainer-process' | 'contender' | 'recovery-victim' | 'recovery-start' | 'first-call'}`
	| '../lib/cli/main'
	| `peers/${'subjects' | 'stores'}/${string}`;
