import type {Case} from '../../plan/suite.ts';
import type {Sums} from '../../subjects/subject.ts';
import {Executions} from './executions.ts';

/** What a process that executes a peer's jobs gets: the case, and the address of the store. */
export interface Assignment {
	readonly given: Case;
	readonly store: string;
}

export type FromForkedWorker = 'ready' | Sums;

/** The last jobs of a run are reported this much later, which adds to its time once. */
const REPORT_MS = 1;

/**
 * Runs such a process: calls `start` with the function that executes a payload, and reports the sums of the executions. The process
 * ends with its parent.
 */
export async function runForkedWorker(start: (assignment: Assignment, execute: (payload: unknown) => number) => Promise<void>): Promise<void> {
	process.once('disconnect', () => process.exit(0));
	// Ctrl-C in a terminal reaches all processes. The parent decides when this one ends.
	process.on('SIGINT', () => {});
	const assignment = JSON.parse(process.argv[2] as string) as Assignment;
	const executions = new Executions(assignment.given.task);
	let isDue = false;
	const report = () => {
		isDue = false;
		send(executions.sums());
	};
	await start(assignment, payload => {
		if (!isDue) {
			isDue = true;
			setTimeout(report, REPORT_MS);
		}
		return executions.execute(payload);
	});
	send('ready');
}

function send(message: FromForkedWorker): void {
	process.send?.(message);
}
