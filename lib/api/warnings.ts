import type {EventName, WorkerLoss} from '../job/events.ts';

/** What would otherwise be a silence: jobs wait, and nobody knows for what. */
const SENTENCES: Readonly<Partial<Record<EventName, (detail: never) => string | undefined>>> = {
	slowStart: ({kind, task, durationMs}: {readonly kind: string; readonly task?: string; readonly durationMs: number}) => {
		const what = task === undefined ? `A worker ${kind} has been loading the tasks module` : `The setup of task ${task} has been running`;
		return `${what} for ${durationMs / 1000} s${task === undefined ? '' : ` in a worker ${kind}`}; no job runs there before it is done.`;
	},
	workerLost: ({kind, reason, error, leavesProcesses}: Omit<WorkerLoss, 'error'> & {readonly error?: Error}) => {
		if (reason === 'unready') return `A worker ${kind} can't be made ready, and is tried again until it can. ${error?.message ?? ''}`.trimEnd();
		return leavesProcesses ? `Processes that tasks of a worker ${kind} have started may still live; they could not all be found or killed.` : undefined;
	},
	secondLibrary: ({message}: {readonly message: string}) => message,
	refused: ({id, task, error}: {readonly id?: number; readonly task?: string; readonly error: Error}) => {
		if (id !== undefined) return `Job ${id} is left as it is. ${error.message}`;
		return task === undefined ? error.message : `No job of task ${task} can be started. ${error.message}`;
	},
};

/** The events that the program is warned of if nobody listens to them. */
export const WARNED = Object.keys(SENTENCES) as readonly EventName[];

let last: string | undefined;

/** Warns of the event as Node does, if it is one to be warned of; not again and again of the same. */
export function warn(type: EventName, detail: object): void {
	const sentence = SENTENCES[type]?.(detail as never);
	if (sentence === undefined || sentence === last) return;
	last = sentence;
	process.emitWarning(sentence, {type: 'FaenaWarning'});
}
