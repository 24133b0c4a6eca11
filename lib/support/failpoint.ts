import {FaenaError} from './errors.ts';

/**
 * Moments at which a program that is being tested may be made to die or to throw, with what is true at each. Those that
 * end in `written` lie in a transaction, before its commit; those in `committed` after it, before anybody is told.
 */
export const FAILPOINTS = {
	'migration:written': 'the schema was written',
	'owner:locked': 'a dispatcher holds its lock, and has no row in the database yet',
	'pool:loaded': 'the workers have loaded the tasks, and nothing was dequeued yet',
	'heartbeat:written': 'an owner has said that it lives',
	'enqueue:written': 'new jobs were written',
	'enqueue:committed': 'new jobs are durable, whoever enqueued them was not told',
	'promotion:written': 'a job that had come due was made ready',
	'dequeue:written': 'jobs were claimed',
	'dequeue:committed': 'jobs are claimed, and no worker has them',
	'chunk:given': 'a worker was given jobs',
	'outcome:received': 'jobs have ended, and only the dispatcher knows',
	'blob:written': 'a large result is in its file, which no job names yet',
	'settle:written': 'it was written down how jobs ended',
	'settle:committed': 'it is durable how jobs ended, and nobody was told',
	'batch:written': 'a batch completed, and its job was enqueued',
	'notes:written': 'progress, a log line or a checkpoint was written',
	'notes:committed': 'progress, log lines or checkpoints are durable',
	'verb:committed': 'what a caller asked of the queue itself is durable, such as a cancel, and it was not told',
	'replies:ready': 'answers and results are about to leave for the callers',
	'recovery:written': 'the jobs of a dead owner were given back',
	'recovery:committed': 'the jobs of a dead owner are free again, its lock file is still there',
	'cleanup:written': 'ended jobs were deleted',
	'cleanup:committed': 'ended jobs are gone for good',
	'blob:deleted': 'the file of a result that no job names is gone',
	'close:drained': 'nothing runs any more, and the owner still has its row',
	'close:left': 'the owner has left',
	'close:closed': 'the write-ahead log is merged into the database and gone, whoever closes was not told',
} as const;

export type FailpointName = keyof typeof FAILPOINTS;

/** `kill` ends the process as `kill -9` does; `throw` throws an Error there. */
export type FailpointAct = 'kill' | 'throw';

/** What happens where: by name for the first time that it is reached, by `name:3` for the third. Once each. */
export type Failpoints = Readonly<Partial<Record<FailpointName | `${FailpointName}:${number}`, FailpointAct>>>;

interface Armed {
	readonly name: FailpointName;
	readonly act: FailpointAct;
	/** How often it has to be reached yet. */
	left: number;
}

/** Of this thread, by who armed them. */
const armed = new Set<readonly Armed[]>();

/** Passes, unless something was to happen here: costs a comparison. */
export function failpoint(name: FailpointName): void {
	if (armed.size > 0) reach(name);
}

/**
 * Says for this thread what is to happen, besides what was said before.
 * @returns a function that takes it back
 * @throws FaenaError `BadOption`
 */
export function arm(failpoints: Failpoints): () => void {
	const points = Object.entries(failpoints).map(([place, act]) => toArmed(place, act));
	armed.add(points);
	return () => void armed.delete(points);
}

function reach(name: FailpointName): void {
	const due = [...armed].flat().filter(point => point.name === name && --point.left === 0);
	if (due.length === 0) return;
	if (due.every(({act}) => act === 'throw')) throw new Error(`The failpoint ${name} was reached.`);
	process.kill(process.pid, 'SIGKILL');
}

function toArmed(place: string, act: unknown): Armed {
	const [, name = '', nth = '1'] = /^(.*?)(?::([1-9]\d{0,8}))?$/.exec(place) ?? [];
	if (!Object.hasOwn(FAILPOINTS, name))
		throw new FaenaError('BadOption', `There is no failpoint ${JSON.stringify(place)}; there is ${Object.keys(FAILPOINTS).join(', ')}.`);
	if (act !== 'kill' && act !== 'throw') throw new FaenaError('BadOption', `The failpoint ${place} expects "kill" or "throw"; it got ${JSON.stringify(act)}.`);
	return {name: name as FailpointName, act, left: Number(nth)};
}

/** For programs that a test starts: `FAENA_FAILPOINTS=settle:committed:3=kill,…`, in every thread. */
const environment = process.env['FAENA_FAILPOINTS'];
if (environment) arm(Object.fromEntries(environment.split(',').map(each => each.split('=', 2) as [FailpointName, FailpointAct])));
