import type {EventName, WorkerLoss} from '../job/events.ts';

/** Warnings about events that keep jobs from running. Without them, a user might not see why jobs wait. */
const SENTENCES: Readonly<Partial<Record<EventName, (detail: never) => string | undefined>>> = {
	slowStart: ({kind, task, durationMs}: {readonly kind: string; readonly task?: string; readonly durationMs: number}) => {
		const what = task === undefined ? `A worker ${kind} has been loading the tasks module` : `The setup of task ${task} has been running`;
		return `${what} for ${durationMs / 1000} s${task === undefined ? '' : ` in a worker ${kind}`}; no job runs there before it is done.`;
	},
	workerLost: ({kind, reason, error, leavesProcesses}: Omit<WorkerLoss, 'error'> & {readonly error?: Error}) => {
		if (reason === 'unready') return `A worker ${kind} can't be made ready, and is tried again until it can. ${error?.message ?? ''}`.trimEnd();
		return leavesProcesses ? `Processes that tasks of a worker ${kind} have started may still live; Faena could not find or kill them all.` : undefined;
	},
	secondLibrary: ({message}: {readonly message: string}) => message,
	refused: ({id, task, error}: {readonly id?: number; readonly task?: string; readonly error: Error}) => {
		if (id !== undefined) return `Job ${id} is left as it is. ${error.message}`;
		return task === undefined ? error.message : `No job of task ${task} can be started. ${error.message}`;
	},
};

/** The events that become warnings if they have no listener. */
export const WARNED = Object.keys(SENTENCES) as readonly EventName[];

let last: string | undefined;

/** Emits a warning for the event, if its type has one; not the same one twice in a row. */
export function warn(type: EventName, detail: object): void {
	const sentence = SENTENCES[type]?.(detail as never);
	if (sentence === undefined || sentence === last) return;
	last = sentence;
	process.emitWarning(sentence, {type: 'FaenaWarning'});
}
