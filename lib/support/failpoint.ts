import {FaenaError} from './errors.ts';

/**
 * Failpoints: moments at which a test can make a program die or throw, and what is true at each. A failpoint that ends in `written` lies in a
 * transaction, before the commit. One that ends in `committed` lies after the commit, before callers and listeners get the result.
 * @example for (const name of Object.keys(FAILPOINTS)) console.log(name);
 */
export const FAILPOINTS = {
	'migration:step': 'a step of the schema was written',
	'migration:written': 'the schema was written',
	'migration:committed': 'the schema is up to date, and nothing else was done',
	'owner:locked': 'an owner holds its lock, and has no row in the database yet',
	'pool:loaded': 'the workers have loaded the tasks, and no job was claimed yet',
	'heartbeat:written': 'the heartbeat of an owner was written',
	'enqueue:written': 'new jobs were written',
	'enqueue:committed': 'new jobs are durable, and their caller was not told',
	'schedule:written': 'a schedule has enqueued jobs, and its next moment was written',
	'promotion:written': 'a job whose time had come was made ready',
	'dequeue:written': 'jobs were claimed',
	'dequeue:committed': 'jobs are claimed, and no worker has them yet',
	'chunk:given': 'a worker was given jobs',
	'outcome:received': 'executions have ended, and only the dispatcher knows',
	'blob:written': 'a large result is in its file, which no job names yet',
	'settle:written': 'outcomes of executions were written',
	'settle:committed': 'outcomes of executions are durable, and no caller was told',
	'batch:written': 'a batch completed, and its job was enqueued',
	'updates:written': 'progress, log lines or a checkpoint of a job were written',
	'updates:committed': 'progress, log lines or checkpoints are durable',
	'verb:committed': 'a change that a caller asked for, such as a cancel, is durable, and the caller was not told',
	'replies:ready': 'answers and results are ready to be sent to the callers',
	'reclaim:written': 'jobs of a dead owner were reclaimed',
	'reclaim:committed': 'jobs of a dead owner are ready again, and its lock file is still there',
	'cleanup:written': 'ended jobs were deleted',
	'cleanup:committed': 'the deletion of ended jobs is durable',
	'blob:deleted': 'the file of a result that no job names was deleted',
	'move:begun': 'nobody can write to the queue that is made',
	'move:frozen': 'nobody can write to the queue that is left',
	'move:page': 'a page of rows has arrived',
	'move:arrived': 'all rows have arrived, and the old queue does not know',
	'move:told': 'the old queue knows that it has moved, and nobody can write to the new one yet',
	'close:drained': 'no job runs any more, and the owner still has its row',
	'close:left': 'the owner has left',
	'close:closed': 'the database is closed and its log is gone, and the caller was not told',
} as const;

/** The name of a failpoint: one moment in the engine's work. @example const name: FailpointName = 'settle:committed'; */
export type FailpointName = keyof typeof FAILPOINTS;

/** `kill` ends the process as `kill -9` does; `throw` throws an Error there. @example const act: FailpointAct = 'kill'; */
export type FailpointAct = 'kill' | 'throw';

/** What happens at which failpoint. `name` stands for the first time that the failpoint is reached, `name:3` for the third. Each acts once.
 * @example const failpoints: Failpoints = {'settle:committed': 'kill'}; */
export type Failpoints = Readonly<Partial<Record<FailpointName | `${FailpointName}:${number}`, FailpointAct>>>;

/** The armed failpoints of this thread: one list for each call of {@link arm}. */
const armed = new Set<readonly ReturnType<typeof toArmed>[]>();

/** Does nothing unless a test has armed this failpoint. Costs one comparison then. */
export function failpoint(name: FailpointName): void {
	if (armed.size > 0) reach(name);
}

/**
 * Arms failpoints of this thread, in addition to those armed before.
 * @returns a function that disarms them
 * @throws FaenaError `BadOption`
 */
export function arm(failpoints: Failpoints): () => void {
	const points = Object.entries(failpoints).map(([point, act]) => toArmed(point, act));
	armed.add(points);
	return () => void armed.delete(points);
}

function reach(name: FailpointName): void {
	const due = [...armed].flat().filter(point => point.name === name && --point.left === 0);
	if (due.length === 0) return;
	if (due.every(({act}) => act === 'throw')) throw new Error(`The failpoint ${name} was reached.`);
	process.kill(process.pid, 'SIGKILL');
}

/** `left`: how many more times it must be reached. */
function toArmed(point: string, act: unknown): {readonly name: FailpointName; readonly act: FailpointAct; left: number} {
	const [, name = '', nth = '1'] = /^(.*?)(?::([1-9]\d{0,8}))?$/.exec(point) ?? [];
	if (!Object.hasOwn(FAILPOINTS, name))
		throw new FaenaError('BadOption', `There is no failpoint ${JSON.stringify(point)}; there is ${Object.keys(FAILPOINTS).join(', ')}.`);
	if (act !== 'kill' && act !== 'throw') throw new FaenaError('BadOption', `The failpoint ${point} expects "kill" or "throw"; it got ${JSON.stringify(act)}.`);
	return {name: name as FailpointName, act, left: Number(nth)};
}

/** Arms every thread of a program that a test starts: `FAENA_FAILPOINTS=settle:committed:3=kill,…`. */
const environment = process.env['FAENA_FAILPOINTS'];
if (environment) arm(Object.fromEntries(environment.split(',').map(each => each.split('=', 2) as [FailpointName, FailpointAct])));
