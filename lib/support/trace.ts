import {writeSync} from 'node:fs';

/**
 * Writes a line to stderr about what a dispatcher or its pool does.
 * @param concerns true for the ids of the jobs that it is about
 */
type Trace = (what: string, text: string, concerns?: (id: number) => boolean) => void;

/**
 * For maintainers: `FAENA_TRACE=1` follows all that a dispatcher and its pool do, `FAENA_TRACE=job:17` only one job. Otherwise it is `undefined`, and
 * `trace?.(…)` does not even make its arguments. CONTRIBUTING.md explains the lines.
 */
export const trace: Trace | undefined = makeTrace(process.env['FAENA_TRACE']);

function makeTrace(setting = ''): Trace | undefined {
	const job = /^job:(\d+)$/.exec(setting)?.[1];
	if (setting !== '1' && job === undefined) return undefined;
	return (what, text, concerns) => {
		try {
			if (job !== undefined && !concerns?.(Number(job))) return;
			writeSync(2, `faena ${new Date().toISOString().slice(11, 23)} ${what.padEnd(7)} ${text}\n`);
		} catch {
			// stderr is closed, or full.
		}
	};
}

/** Milliseconds as a trace shows them. */
export function ms(duration: number): string {
	return `${duration.toFixed(1)} ms`;
}
