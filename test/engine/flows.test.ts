import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import fc from 'fast-check';
import {FlowMap} from '../../lib/api/flows/flow-nodes.ts';
import {type Engine, type Flow, type FlowJob, open} from '../../lib/index.ts';
import {openQueue} from '../../lib/queue.ts';
import {openEngine, TASKS, type Tasks, test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {SEED} from '../fixtures/random.ts';

test('a node in a payload stands for its result, at any depth; a map stands for the array of its results', async t => {
	const faena = await openEngine(t);
	const flow = faena.newFlow('report');
	const words = flow.map('echo', ['a', 'b', 'c']);
	const sum = flow.job('add', {a: 1, b: flow.job('add', {a: 2, b: 3})});
	const again = flow.map('echo', words);
	const at = new Date(0);
	const all = flow.job('echo', {list: [sum, words, sum], at, deep: {sum}, $: 'x', again});
	const run = await flow.enqueue();
	t.deepEqual(await run.result(all), {list: [6, ['a', 'b', 'c'], 6], at, deep: {sum: 6}, $: 'x', again: ['a', 'b', 'c']});
	t.deepEqual(await run.result(again), ['a', 'b', 'c']);
	t.like(await run.ended(), {completed: 9});
	t.like(await run.info(), {kind: 'flow', total: 9, counts: {completed: 9}});
	const info = await faena.job(run.ids(all)[0] ?? 0).info();
	t.deepEqual(info?.payload, await run.result(all));
	t.like(info, {parents: [...run.ids(sum), ...run.ids(words), ...run.ids(again)], children: []});
	t.deepEqual((await faena.job(run.ids(sum)[0] ?? 0).info())?.children, run.ids(all));
});

test('dependsOn names nodes, handles and ids; ctx.results has their results after those of the payload', async t => {
	const faena = await openEngine(t);
	const outside = await faena.enqueue('echo', 'outside');
	const flow = faena.newFlow('order');
	const first = flow.job('echo', 'first');
	const last = flow.job('gather', [first], {dependsOn: [outside, flow.job('echo', 'other')]});
	const late = flow.job('echo', 'late');
	last.dependsOn(late, outside.id);
	const run = await flow.enqueue();
	t.deepEqual(await run.result(last), ['first', 'outside', 'other', 'late', 'outside']);
});

test('the same flow again is the one there is, also in another engine; another one with its name is refused', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const enqueue = (faena: Engine<Tasks>, name: string, word = 'b') => {
		const flow = faena.newFlow(name);
		const words = flow.map('echo', ['a', word], {key: each => each as string});
		return flow.enqueue().then(run => ({run, words}));
	};
	const [faena, other] = [await openEngine(t, {queue}), await openEngine(t, {queue})];
	const [one, two] = await Promise.all([enqueue(faena, 'report'), enqueue(other, 'report')]);
	t.deepEqual(one.run.ids(one.words), two.run.ids(two.words));
	t.deepEqual(await two.run.result(two.words), ['a', 'b']);
	const again = await enqueue(faena, 'report');
	t.deepEqual(again.run.ids(again.words), one.run.ids(one.words));
	t.like(await faena.counts(), {completed: 2});
	t.deepEqual(
		(await faena.jobs({batch: 'report', key: 'b'}).page()).map(({key}) => key),
		['b'],
	);
	await t.throwsAsync(enqueue(faena, 'report', 'c'), {code: 'BatchConflict', message: /belongs to a flow with other jobs, payloads or edges/});
	await faena.map('echo', [1], {batch: 'mapped'}).toArray();
	await t.throwsAsync(enqueue(faena, 'mapped'), {code: 'BatchConflict', message: /belongs to a map/});
	await t.throwsAsync(faena.map('echo', [1], {batch: 'report'}).toArray(), {code: 'BatchConflict', message: /is a flow, not a map of the task echo/});
	t.is(await faena.batch('report').delete(), 2);
	const {run, words} = await enqueue(faena, 'report', 'c');
	t.deepEqual(await run.result(words), ['a', 'c']);
});

test('a flow whose jobs were deleted runs anew, for several programs once; as long as one job is left, it is the flow that there is', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const [faena, other] = [await openEngine(t, {queue}), await openEngine(t, {queue})];
	const enqueue = async (engine: typeof faena) => {
		const flow = engine.newFlow('report');
		const last = flow.job('gather', flow.map('echo', [1, 2]));
		const run = await flow.enqueue();
		return {run, last, ids: run.ids(last)};
	};
	const first = await enqueue(faena);
	await first.run.result(first.last);
	await faena.cleanup({ids: [1, 2]});
	t.deepEqual((await enqueue(faena)).ids, first.ids);
	await faena.cleanup({ids: first.ids});
	const [again, theirs] = await Promise.all([enqueue(faena), enqueue(other)]);
	t.notDeepEqual(again.ids, first.ids);
	t.deepEqual(again.ids, theirs.ids);
	t.deepEqual(await again.run.result(again.last), [1, 2]);
	t.like(await theirs.run.ended(), {completed: 3});
});

test('bad input of a flow: a sentence each', async t => {
	const faena = await openEngine(t);
	const flow = faena.newFlow('bad');
	const [a, b, c] = [flow.job('echo', 1, {key: 'a'}), flow.job('echo', 2), flow.job('gather', 3)];
	a.dependsOn(b);
	b.dependsOn(c);
	c.dependsOn(a);
	await t.throwsAsync(flow.enqueue(), {
		code: 'BadOption',
		message:
			'These jobs of the flow would wait for each other for ever: echo (a) → echo #2 → gather → echo (a). Each arrow reads "waits for"; leave one of them out.',
	});
	t.is(await faena.batch('bad').info(), undefined);
	const itself = faena.newFlow('itself');
	const lonely = itself.job('echo', 1);
	lonely.dependsOn(lonely);
	await t.throwsAsync(itself.enqueue(), {message: /echo → echo/});
	const other = faena.newFlow('other');
	t.throws(() => other.job('echo', [a]), {code: 'BadOption', message: /A node of another flow can't be used in the flow "other"/});
	t.throws(() => other.job('echo', 1, {dependsOn: [a]}), {code: 'BadOption', message: /A node of another flow/});
	t.throws(() => other.job('echo', 1, {dependsOn: a as never}), {message: /dependsOn expects an array/});
	t.throws(() => other.job('ecko' as never), {code: 'UnknownTask', message: /did you mean "echo"/});
	t.throws(() => other.job('echo', 1, {unique: 'unended'} as never), {message: /no option unique/});
	t.throws(() => other.map('echo', 5 as never), {code: 'BadOption', message: /expects an iterable/});
	t.throws(() => other.map('echo', ['x', 'x'], {key: each => each as string}), {message: /got the key "x" a second time/});
	t.throws(() => other.map('echo', [() => 1]), {code: 'NotEncodable'});
	t.throws(() => other.map('echo', [1], {key: 'id' as never}), {code: 'BadOption', message: /expects as key a function of an item and its index; it got "id"/});
	t.throws(() => faena.newFlow(''), {code: 'BadOption'});
	await t.throwsAsync(faena.enqueue('echo', a as never), {code: 'NotEncodable', message: /payload is an instance of FlowJob/});
	other.job('gather', null, {dependsOn: [12345]});
	await t.throwsAsync(other.enqueue(), {code: 'NoSuchJob', message: /can't wait for job 12345/});
	t.is(await faena.batch('other').info(), undefined);
	t.like(await faena.counts(), {blocked: 0, pending: 0, completed: 0});
	const good = faena.newFlow('good');
	good.job('echo', 1);
	await good.enqueue();
	t.throws(() => good.job('echo', 2), {message: /the flow "good" is enqueued already/});
});

test('a job of another queue is refused as a parent', async t => {
	const folder = makeFolder(t);
	const [faena, other] = [await openEngine(t, {queue: join(folder, 'a.db')}), await openEngine(t, {queue: join(folder, 'b.db')})];
	const foreign = await other.enqueue('echo', 1);
	const refused = {code: 'BadOption', message: /in dependsOn expects jobs of its own queue, \S+a\.db; job 1 is in \S+b\.db/};
	await t.throwsAsync(faena.enqueue('gather', null, {dependsOn: [foreign]}), refused);
	await t.throwsAsync(faena.call('gather', null, {dependsOn: [foreign]}), refused);
	await t.throwsAsync(faena.enqueueMany('gather', [null], {dependsOn: [foreign]}), refused);
	t.throws(() => faena.newFlow('x').job('gather', null, {dependsOn: [foreign]}), refused);
	const same = await openEngine(t, {queue: join(folder, 'b.db')});
	t.deepEqual(await same.call('gather', null, {dependsOn: [foreign]}), [1]);
});

test('an empty flow, an empty map in a flow, a flow of one job', async t => {
	const faena = await openEngine(t);
	t.like(await (await faena.newFlow('empty').enqueue()).ended(), {completed: 0});
	const flow = faena.newFlow('empty map');
	const none = flow.map('echo', []);
	const merged = flow.job('echo', {none, n: flow.map('echo', none)});
	const run = await flow.enqueue();
	t.deepEqual(await run.result(merged), {none: [], n: []});
	t.deepEqual(await run.result(none), []);
	const one = faena.newFlow('one');
	const job = one.job('echo', 7);
	t.is(await (await one.enqueue()).result(job), 7);
});

test('if a job of a flow dies, those that need it are cancelled; a retry runs it and them', async t => {
	const faena = await openEngine(t);
	const file = join(makeFolder(t), 'times');
	const flow = faena.newFlow('mended');
	const failing = flow.job('failTimes', {file, times: 1}, {maxAttempts: 1});
	const next = flow.job('echo', {failing});
	const last = flow.job('echo', [next]);
	const anyway = flow.job('endsOfParents', [failing], {onParentDead: 'run'});
	const instead = flow.job('echo', {failing}, {onParentDead: 'run'});
	const run = await flow.enqueue();
	t.like(await run.ended(), {dead: 1, cancelled: 2, completed: 2});
	await t.throwsAsync(run.result(last), {code: 'JobCancelled'});
	t.like(await run.result(anyway), [[run.job(failing).id, 'dead']]);
	t.deepEqual(await run.result(instead), {failing: undefined});
	t.is(await faena.retry(run.job(failing).id), 1);
	t.like(await run.ended(), {dead: 0, cancelled: 0, completed: 5});
	t.is(typeof (await run.result(failing)), 'number');
	t.deepEqual(await run.result(last), [{failing: await run.result(failing)}]);
});

test('a flow is cancelled, retried and deleted as a batch', async t => {
	const faena = await openEngine(t);
	const flow = faena.newFlow('stopped');
	const slow = flow.job('echo', 1, {delay: '1h'});
	const last = flow.job('echo', {slow});
	const run = await flow.enqueue();
	await t.throwsAsync(run.ended({timeout: 20}), {code: 'WaitTimeout'});
	const ended = run.ended();
	t.is(await run.cancel(), 2);
	t.like(await ended, {cancelled: 2});
	t.is(await run.retry(), 2);
	t.deepEqual(await run.result(last), {slow: 1});
	t.is(await run.delete(), 2);
	await t.throwsAsync(run.ended(), {code: 'NoSuchBatch'});
});

test('a job that a task enqueues may wait for others that it enqueues, and for itself', async t => {
	const faena = await openEngine(t);
	t.is(await faena.call('fanOut', ['a', 'b', 'c']), 3);
	const [job] = await faena.jobs({task: 'gather', key: 'gathered'}).page();
	t.deepEqual(await faena.job<'gather'>(job?.id ?? 0).result(), ['a', 'b', 'c', 3]);
	const parts = Array.from({length: 9998}, (_, index) => index);
	await faena.cleanup({olderThan: 0});
	await faena.call('fanOut', parts);
	const [wide] = await faena.jobs({task: 'gather', key: 'gathered'}).page();
	t.deepEqual(await faena.job<'gather'>(wide?.id ?? 0).result(), [...parts, 9998]);
});

test('a job that another execution has enqueued is refused as a parent of one that this one enqueues', async t => {
	const faena = await openEngine(t, {workers: 1});
	await faena.call('mixUp', null);
	await t.throwsAsync(faena.call('mixUp', null, {maxAttempts: 1}), {message: /expects as dependsOn jobs that this execution has enqueued/});
});

test("a loop of one's own gets payloads that are made of results", async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const faena = await open<Tasks>({queue, tasks: TASKS, workers: 2});
	await faena.pause('add');
	const flow = faena.newFlow('loop');
	flow.job('add', {a: flow.job('sumOf', [40]), b: 2});
	await flow.enqueue();
	await faena.idle();
	await faena.close();
	const own = await openQueue(queue);
	t.teardown(() => own.close());
	await own.resume(['add']);
	const [ready] = await own.jobs({task: 'add'}).page();
	const {jobs} = await own.dequeue({owner: 'me', tasks: ['add'], scopes: [ready?.scope ?? '']});
	t.deepEqual(
		jobs.map(({payload}) => payload),
		[{a: 41, b: 2}],
	);
});

interface Known {
	readonly node: FlowJob<number> | FlowMap<number>;
	readonly expected: number | number[];
}

/** What `sumOf` returns. */
function sum(value: unknown): number {
	if (typeof value === 'number') return value + 1;
	return Object.values(value as object).reduce((all: number, part) => all + (typeof part === 'number' ? part : sum(part) - 1), 0) + 1;
}

/** Steps that add nodes to a flow, with what their results must be. `options` gives some jobs a key. */
const STEPS = {
	job: (flow, {known}, options) => ({node: flow.job('sumOf', {a: known.node, b: 5}, options()), expected: sum({a: known.expected, b: 5})}),
	chain(flow, {known, size}, options) {
		let [node, expected]: [FlowJob<number>, number] = [flow.job('sumOf', [known.node], options()), sum([known.expected])];
		for (let length = 0; length < size; length++) [node, expected] = [flow.job('sumOf', node, options()), sum(expected)];
		return {node, expected};
	},
	map(flow, {size}) {
		const items = Array.from({length: size * 60}, (_, index) => index);
		return {node: flow.map('sumOf', items), expected: items.map(sum)};
	},
	zip(flow, {known: {node, expected}}) {
		return node instanceof FlowMap ? {node: flow.map('sumOf', node), expected: (expected as number[]).map(sum)} : {node, expected};
	},
	fanIn(flow, {nodes}, options) {
		const some = nodes.slice(0, 5);
		return {
			node: flow.job(
				'sumOf',
				some.map(({node}) => node),
				options(),
			),
			expected: sum(some.map(({expected}) => expected)),
		};
	},
	same(flow, {known, size}, options) {
		const all = Array.from({length: size}, () => flow.job('sumOf', {x: known.node, one: 1}, options()));
		return {node: flow.job('sumOf', all), expected: sum(all.map(() => sum({x: known.expected, one: 1})))};
	},
} satisfies Record<
	string,
	(flow: Flow<Tasks>, step: {readonly known: Known; readonly nodes: readonly Known[]; readonly size: number}, options: () => {key?: string}) => Known
>;

const step = fc.record({kind: fc.constantFrom(...(Object.keys(STEPS) as (keyof typeof STEPS)[])), size: fc.nat(40), pick: fc.nat(), keyed: fc.nat(5)});

test('random flows: each job gets the results of those that it names', async t => {
	const faena = await openEngine(t);
	t.timeout(120_000);
	let count = 0;
	const property = fc.asyncProperty(fc.array(step, {minLength: 1, maxLength: 25}), async steps => {
		const flow = faena.newFlow(`random ${count++}`);
		const nodes: Known[] = [{node: flow.job('sumOf', 1), expected: 2}];
		let keys = 0;
		for (const {kind, size, pick, keyed} of steps) {
			const known = nodes[pick % nodes.length] as Known;
			nodes.push(STEPS[kind](flow, {known, nodes, size}, () => (keyed === 0 ? {key: `${keys++}`} : {})));
		}
		const run = await flow.enqueue();
		for (const {node, expected} of nodes) t.deepEqual(await run.result(node as FlowJob<number>, {timeout: '30s'}), expected as number);
		t.like(await run.ended(), {dead: 0, cancelled: 0});
	});
	await fc.assert(property, {numRuns: 60, seed: SEED});
});

test('ended() resolves for a flow that is cancelled; once that is cleaned up, it says so', async t => {
	const faena = await openEngine(t);
	const flow = faena.newFlow('thinned');
	flow.map('echo', ['a', 'b', 'c'], {delay: '1h'});
	const run = await flow.enqueue();
	const ended = run.ended();
	await run.cancel();
	t.like(await ended, {cancelled: 3});
	await faena.cleanup({olderThan: 0});
	await t.throwsAsync(run.ended(), {code: 'NoSuchBatch', message: 'There is no batch "thinned"; it may have been deleted.'});
});

/** Deletes what there may be. */
async function deleteAny(faena: Engine<Tasks>, name: string): Promise<void> {
	if (await faena.batch(name).info()) await faena.batch(name).delete();
}

test('a flow that is deleted while it is enqueued says so, also to jobs that wait for deleted ones; the name is free then', async t => {
	const faena = await openEngine(t);
	for (const jobs of [5000, 30_000]) {
		const flow = faena.newFlow('large');
		const numbers = flow.map(
			'echo',
			Array.from({length: jobs}, (_, index) => index),
			{delay: '1h'},
		);
		for (let step = 0, last = numbers as FlowMap<unknown>; step < 3; step++) last = flow.map('echo', last);
		const enqueued = flow.enqueue();
		const outcome = enqueued.then(
			() => 'enqueued',
			(error: Error & {code?: string}) => error.code,
		);
		while (!(await faena.batch('large').info())) await sleep(1);
		await faena.batch('large').delete();
		t.true(['NoSuchBatch', 'enqueued'].includes((await outcome) ?? ''));
		await deleteAny(faena, 'large');
	}
});

test('programs that enqueue the same flow at once, make each job once', async t => {
	const queue = join(makeFolder(t), 'jobs.db');
	const engines = [await openEngine(t, {queue}), await openEngine(t, {queue}), await openEngine(t, {queue})] as const;
	const runs = await Promise.all(
		engines.map(async faena => {
			const flow = faena.newFlow('shared');
			const all = flow.map(
				'echo',
				Array.from({length: 25_000}, (_, index) => index),
			);
			const run = await flow.enqueue();
			return [run, run.ids(all)] as const;
		}),
	);
	for (const [, ids] of runs) t.deepEqual(ids, runs[0]?.[1]);
	t.like(await runs[0]?.[0].ended(), {completed: 25_000});
	t.like(await engines[0].counts(), {completed: 25_000, blocked: 0});
});
