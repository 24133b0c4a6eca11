import {type Command, Option} from 'commander';
import type {JobId} from '../../index.ts';
import {bad, checkJobOptions, encode, FaenaError, MANY_BYTES, Portion, SMALL_GROUP} from '../../internal/words.ts';
import {type JobQueue, openQueue, type QueueJob} from '../../queue.ts';
import {toCount, toDuration, toId, toMaxDelays, toPriority, toTime} from '../flags/flag-values.ts';
import {assertExists, queueCommand} from '../flags/queue-flag.ts';
import {InputError} from '../input-error.ts';
import {type Input, openInput} from '../map/inputs/open-input.ts';
import {counted, print, printError} from '../terminal/print.ts';

type OptionFlags = Omit<QueueJob, 'task' | 'payload'>;

interface Flags extends OptionFlags {
	readonly queue: string;
	readonly ndjson?: true;
	readonly create?: true;
}

export function addEnqueue(program: Command): void {
	queueCommand(program, 'enqueue')
		.summary('add a job, or one for every line of stdin')
		.description(
			'Adds a job of a task, with a payload in JSON, and prints its id. With --ndjson it adds a job for every line of stdin.\n' +
				'A program with that task runs the job, or faena work does. Options that are not named here are those of the task, ' +
				'but for its priority.',
		)
		.argument('<task>', 'name of the task')
		.argument('[payload]', 'payload of the job, in JSON; without it the task gets none')
		.option('--create', 'make the queue if it does not exist')
		.option('--ndjson', 'add a job for every line of stdin, with the line as its payload in JSON')
		.option('--key <key>', 'name of the job, unique in its task: if there is such a job, it stays the only one, and its id is printed')
		.option('--scope <scope>', 'only programs of this scope run the job, see faena show (default: any that has a task of this name)')
		.addOption(new Option('--unique <how>', 'with --key: a job that has ended gives the key to a new one').choices(['unended']))
		.option('--delay <time>', 'the job does not start before this time has passed, for instance 10m', toDuration)
		.option('--expires <time>', 'the job is cancelled if it has not started this long after it became due (default: never)', toDuration)
		.option('--depends-on <job>', 'the job waits for this one; may be given several times', (text, before: readonly JobId[] = []) => [...before, toId(text)])
		.option('--priority <n>', 'higher runs first (default: 0)', toPriority)
		.option('--max-attempts <n>', 'failures after which the job is dead (default: 3)', toCount)
		.option('--max-delays <n>', 'times that the task may put the job off by RetryAfter without a charge (default: 100)', toMaxDelays)
		.option('--timeout <time>', 'longest run of the job, for instance 30s, 5m, or 300% of the median (default: none)', toTime)
		.option('--on-dead <task>', 'if the job is dead, a job of this task is enqueued, which gets its id, payload and error')
		.addHelpText(
			'after',
			`
Examples:
  faena enqueue thumbnail '{"file": "a.png", "width": 320}' --key a.png
  jq -c '.urls[]' sites.json | faena enqueue fetch --ndjson`,
		)
		.action(enqueue);
}

async function enqueue(task: string, payload: string | undefined, {queue: file, create, ndjson, ...flags}: Flags): Promise<void> {
	if (ndjson && payload !== undefined) throw bad('Give either a payload or --ndjson, which takes the payloads from stdin.');
	if (ndjson && flags.key !== undefined) throw bad('A --key names one job; --ndjson adds many.');
	const toJob = toQueueJob(task, flags);
	// Before anything is made for it.
	const job = ndjson ? undefined : toJob(payload === undefined ? undefined : parsePayload(payload));
	if (!create) await assertExists(file, '--queue, or make a new one with --create');
	const {items} = ndjson ? await openInput([], {ndjson}) : {};
	const queue = await openQueue(file);
	try {
		if (job) await add(queue, [job]);
		if (items) await addLines(queue, items, toJob);
	} finally {
		await queue.close();
	}
}

function toQueueJob(task: string, flags: OptionFlags): (payload: unknown) => QueueJob {
	if (task === '') throw bad('Name a task.');
	checkJobOptions('faena enqueue', flags);
	return payload => ({...flags, task, payload});
}

function parsePayload(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new FaenaError('BadOption', `The payload is not JSON: ${(cause as Error).message}. A text has double quotes in JSON, for instance '"a.png"'.`, {
			cause,
		});
	}
}

/** Adds jobs in one transaction, and prints their ids. */
async function add(queue: JobQueue, jobs: readonly QueueJob[]): Promise<void> {
	const made = await queue.enqueue(jobs);
	await print(made.map(({id}) => `${id}\n`).join(''));
	if (jobs.length === 1 && made[0]?.reused) printError(`Job ${made[0].id} has this key already, and was left as it is.`);
}

async function addLines(queue: JobQueue, items: Input['items'], toJob: (payload: unknown) => QueueJob): Promise<void> {
	let added = 0;
	let jobs: QueueJob[] = [];
	const portion = new Portion({jobs: SMALL_GROUP.jobs, bytes: MANY_BYTES});
	const flush = async () => {
		if (jobs.length > 0) await add(queue, jobs);
		added += jobs.length;
		jobs = [];
		portion.clear();
	};
	try {
		for await (const {payload} of items) {
			const job = toJob(payload);
			jobs.push(job);
			if (portion.add(encode(payload, 'payload'))) await flush();
		}
		await flush();
	} catch (error) {
		if (!(error instanceof InputError)) throw error;
		await flush();
		throw new InputError(`${error.message} Of the lines before it, ${counted(added, 'job')} ${added === 1 ? 'was' : 'were'} added.`, {cause: error});
	} finally {
		// An open stdin would keep the process alive.
		process.stdin.destroy();
	}
}
