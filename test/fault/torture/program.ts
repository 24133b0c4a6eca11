/**
 * `program QUEUE ROUND`: uses an engine in every way at once, as chance has it, until it is killed; and prints what it asks
 * for and what it is told, a line each, the latter after the promise resolved. ROUND is a JSON of {@link Round}.
 */
import {mkdirSync, writeSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {type JobOptions, open} from '../../../lib/index.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import {makeMark, runningCommands} from './commands.ts';
import {DRAIN_MS, GRACE_MS, type Payload, type Round, type Saying, steadyMs} from './history.ts';
import {SOURCES} from './sources.ts';

const [queue = '', json = ''] = process.argv.slice(2);
const round = JSON.parse(json) as Round;
const random = seeded(round.seed);
const name = (what: string) => `${what}${round.slot}.${round.number}.${++names}`;
let names = 0;

/** The pipe is written to synchronously: what is said is said, whenever the program is killed. A full pipe is waited for. */
function say(what: Saying): void {
	let rest = Buffer.from(`${JSON.stringify({at: steadyMs(), slot: round.slot, number: round.number, ...what})}\n`);
	while (rest.length > 0) {
		try {
			rest = rest.subarray(writeSync(1, rest));
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
			Atomics.wait(PAUSE, 0, 0, 1);
		}
	}
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

const ignore = () => undefined;

const faena = await open<typeof import('./tasks.ts')>({
	queue,
	tasks: new URL('./tasks.ts', import.meta.url),
	workers: 2,
	isolation: round.isolation,
	blobs: {threshold: 4096},
	grace: GRACE_MS,
	lease: round.leaseMs,
	drain: DRAIN_MS,
	closeOnSignals: true,
	logger: {debug: ignore, info: ignore, error: ignore, warn: (_, message) => say({what: 'warned', message})},
	defaults: {backoff: {base: 2, factor: 2, max: 20, jitter: 0.5}},
});
say({what: 'opened'});

const inputs = join(dirname(process.env['STEPS'] as string), '../inputs');
mkdirSync(inputs, {recursive: true});
// The queue was named by a path that is relative to the folder in which the program began.
if (round.roams) process.chdir(inputs);

/** Jobs of this program's, to be cancelled or retried. */
const known: number[] = [];
let isClosing = false;
let isPausing = false;

/** Some jobs are not done by the time that a close has waited for them. */
const LONG_MS = 5 * DRAIN_MS;
const LONG_SHARE = 0.005;

function makePayload(token: string): Payload {
	// Few end their worker: each costs the start of another.
	const fails = random() < 0.2 ? (random() < 0.02 ? 'exits' : 'throws') : undefined;
	return {
		token,
		ms: random() < LONG_SHARE ? LONG_MS : random() < 0.25 ? between(random, 1, 30) : 0,
		...(fails && {fails, times: between(random, 1, 4)}),
		...(random() < 0.05 && {bulk: 5000}),
	};
}

function makeOptions(): Omit<JobOptions, 'key'> {
	return {...(random() < 0.3 && {priority: between(random, -2, 2)}), ...(random() < 0.1 && {timeout: '20s'})};
}

/** Some flows are enqueued by several transactions. */
const LARGE_SHARE = 0.02;
let flow = round.flow;
let isFlowing = false;

/** Enqueues the next flow of this slot. The content follows from its name, so that a program which is started after a kill enqueues the same. */
async function enqueueFlow(): Promise<void> {
	const name = `flow${round.slot}.${flow}`;
	const own = seeded(1000 * round.slot + flow);
	const size = own() < LARGE_SHARE ? 10_500 : between(own, 1, 30);
	const leaves = Array.from(
		{length: size},
		(_, index): Payload => ({token: `${name}.${index}`, ...(own() < 0.05 && {fails: 'throws', times: between(own, 1, 3)})}),
	);
	const tokens = leaves.map(({token}) => token);
	const made = faena.newFlow(name);
	const all = made.map('compute', leaves);
	const one = made.job('compute', {token: `${name}.one`});
	const merged = made.job('gather', {token: `${name}.all`, parents: all, of: tokens});
	const chain = [made.job('gather', {token: `${name}.chain0`, parents: [one], of: [`${name}.one`]})];
	for (let link = 1; link < 5; link++) {
		const before = chain.at(-1) as (typeof chain)[0];
		chain.push(made.job('gather', {token: `${name}.chain${link}`, parents: [before, one], of: [`${name}.chain${link - 1}`, `${name}.one`]}));
	}
	const nodes = [one, merged, ...chain];
	const named = [`${name}.one`, `${name}.all`, ...chain.map((_, link) => `${name}.chain${link}`)];
	say({what: 'try', tokens: [...tokens, ...named]});
	const run = await made.enqueue();
	const ids = [...run.ids(all), ...nodes.flatMap(node => run.ids(node))];
	say({what: 'enqueued', tokens: [...tokens, ...named], ids});
	say({what: 'flowed', flow});
	known.push(...ids.slice(-20));
	flow++;
}

let pipe = round.pipe;
let isPiping = false;

/** Runs the next pipe of this slot. */
async function runPipe(): Promise<void> {
	const batch = `pipe${round.slot}.${pipe}`;
	const tokens = Array.from({length: 40}, (_, index) => `${batch}.${index}`);
	say({what: 'try', tokens});
	const items = tokens.map((token, index): Payload => ({token, ...(index % 9 === 0 && {fails: 'throws', times: 1})}));
	const values = await faena.pipe(items, 'compute', 'second', {batch, window: 15, order: pipe % 2 === 0 ? 'input' : 'finished'}).toArray();
	say({what: 'piped', pipe, values});
	pipe++;
}

const SECONDS = 'each second';
await faena.setSchedule(SECONDS, {every: '1s', task: 'moment', payload: null, catchUp: 'all', overlap: 'queue'});

const ACTIONS: Readonly<Record<string, () => Promise<unknown>>> = {
	async enqueue() {
		const isKeyed = random() < 0.3;
		const token = isKeyed ? `key${between(random, 0, 30)}` : name('one');
		const delay = random() < 0.2 && !isKeyed ? 5 + 145 * random() : undefined;
		const payload = isKeyed ? {token} : {...makePayload(token), ...(delay !== undefined && {notBefore: Date.now() + delay})};
		say({what: 'try', tokens: [token]});
		const task = isKeyed ? 'compute' : pick(random, ['compute', 'wait', 'make', 'pausable'] as const);
		const job = await faena.enqueue(task, payload, {...makeOptions(), ...(delay !== undefined && {delay}), ...(isKeyed && {key: token})});
		say({what: 'enqueued', tokens: [token], ids: [job.id]});
		known.push(job.id);
		if (random() < 0.5) return;
		// A job that another program cleaned up is missing.
		const outcome = await job.outcome().catch(() => undefined);
		if (outcome) say({what: 'ended', id: job.id, status: outcome.status, ...('result' in outcome && {value: outcome.result})});
	},
	async enqueueMany() {
		const tokens = Array.from({length: between(random, 1, 40)}, () => name('many'));
		const task = pick(random, ['compute', 'many'] as const);
		say({what: 'try', tokens});
		const payloads = tokens.map(token => (task === 'many' ? {token} : makePayload(token)));
		// The type of a task that takes several at once is that of its array.
		const {ids} = await faena.enqueueMany(task as 'compute', payloads, makeOptions());
		say({what: 'enqueued', tokens, ids});
		known.push(...ids);
	},
	async backlog() {
		if (random() < 0.95) return;
		const tokens = Array.from({length: 3000}, () => name('backlog'));
		say({what: 'try', tokens});
		const {ids} = await faena.enqueueMany(
			'compute',
			tokens.map(token => ({token})),
		);
		say({what: 'enqueued', tokens, ids});
	},
	async command() {
		if (random() < 0.5) return;
		const token = name('command');
		const mark = makeMark(process.pid, names);
		say({what: 'try', tokens: [token]});
		const timeoutMs = 50 + 200 * random();
		const job = await faena.enqueue('command', {token, mark, timeoutMs}, {timeout: timeoutMs, maxAttempts: 1});
		say({what: 'enqueued', tokens: [token], ids: [job.id]});
		known.push(job.id);
		const outcome = await job.outcome().catch(() => undefined);
		if (outcome) say({what: 'stopped', id: job.id, left: runningCommands(command => command.mark === mark)});
	},
	async cancel() {
		const id = known.at(-between(random, 1, 20));
		if (id === undefined) return;
		say({what: 'cancelling', id});
		if ((await faena.cancel(id)) === 1) say({what: 'cancelled', id});
	},
	async retry() {
		if (known.length === 0 || random() < 0.5) return;
		const id = pick(random, known);
		say({what: 'retrying', id});
		await faena.retry(id);
	},
	async flow() {
		// One at a time, as the next one of this slot.
		if (isFlowing || random() < 0.5) return;
		isFlowing = true;
		await enqueueFlow().finally(() => {
			isFlowing = false;
		});
	},
	async pipe() {
		if (isPiping || random() < 0.5) return;
		isPiping = true;
		await runPipe().finally(() => {
			isPiping = false;
		});
	},
	async pause() {
		// One at a time: a resume that is under way already may come after a pause that is told first.
		if (round.slot !== 0 || isPausing) return;
		isPausing = true;
		await faena.pause('pausable');
		say({what: 'paused'});
		await sleep(between(random, 0, 60));
		say({what: 'resuming'});
		await faena.resume('pausable');
		isPausing = false;
	},
	async cleanup() {
		if (!round.cleans || random() < 0.7) return;
		say({what: 'cleaning'});
		await faena.cleanup({olderThan: 0});
	},
	async look() {
		await Promise.all([faena.counts(), faena.stats(), faena.jobs({status: 'running'}).page()]);
	},
};

async function act(): Promise<void> {
	while (!isClosing) {
		await ACTIONS[pick(random, Object.keys(ACTIONS))]?.();
		await sleep(between(random, 0, 10));
	}
}

async function map(): Promise<void> {
	for (let number = round.batch; !isClosing; number++) {
		const batch = `batch${round.slot}.${number}`;
		const tokens = Array.from({length: 60}, (_, index) => `${batch}.${index}`);
		say({what: 'try', tokens});
		const source = pick(random, Object.keys(SOURCES));
		const items = faena.map('compute', (await SOURCES[source]?.(tokens, join(inputs, batch))) ?? [], {
			batch,
			payload: (token, index) => ({token, ...(index % 7 === 0 && {fails: 'throws' as const, times: index % 4, ms: 3})}),
			window: 20,
			order: number % 2 === 0 ? 'input' : 'finished',
			onComplete: 'batchCompleted',
		});
		for await (const {key, jobId, ...end} of items) say({what: 'item', batch, key, id: jobId, status: end.status, ...('result' in end && {value: end.result})});
		say({what: 'mapped', batch: number});
		if (round.finishes) return;
	}
}

/** What is asked of an engine after its close, or waited for during it, is refused. */
const untilClosed = (doings: Promise<unknown>) =>
	doings.catch((error: {code?: string}) => {
		if (!isClosing || error.code !== 'Closed') throw error;
	});

if (round.finishes) {
	await faena.resume();
	await faena.schedule(SECONDS).pause();
	await map();
	await faena.idle();
} else {
	const doings = untilClosed(Promise.all([map(), ...Array.from({length: 4}, () => act())]));
	await Promise.race([doings, sleep(round.closesAfterMs ?? 60_000)]);
	isClosing = true;
}
say({what: 'closing'});
await faena.close();
say({what: 'closed'});
