import {execSync} from 'node:child_process';
import {pbkdf2Sync} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {setImmediate, setInterval, setTimeout} from 'node:timers';
import {runInNewContext} from 'node:vm';
import {parentPort} from 'node:worker_threads';
import type {FailureRecord} from '../../../lib/job/failure.ts';
import type {TaskContext} from '../../../lib/job/task/task.ts';
import {spoil} from '../../fixtures/spoilers.ts';

/** One way of being bad, and what the job's record is to say of it; nothing if it only has bad manners, and completes. */
export interface Poison {
	run(context: TaskContext): unknown;
	readonly reason?: FailureRecord['reason'];
	/** After it has returned: where a neighbour then computes for long, its result is settled before. */
	readonly surfacesLate?: true;
	/** It ends when its timeout does. */
	readonly hangs?: true;
	/** In a thread the program may not survive it: for processes only. */
	readonly endsProgram?: true;
	/** Means something in processes only, or in threads only. */
	readonly only?: 'process' | 'thread';
}

/** Payload of the task below. */
export interface Assignment {
	/** A name of {@link POISONS}; a good job has none. */
	readonly poison?: string;
	readonly number: number;
}

export function work({poison, number}: Assignment, context: TaskContext): unknown {
	if (poison !== undefined) return (POISONS[poison] as Poison).run(context);
	context.log('good');
	return {square: number * number, at: new Map([[number, new Date(number)]])};
}

function throws(value: () => unknown): Poison {
	return {
		reason: 'threw',
		run() {
			throw value();
		},
	};
}

function returns(value: () => unknown): Poison {
	return {reason: 'badResult', run: () => value()};
}

function loses(run: Poison['run'], more: Partial<Poison> = {}): Poison {
	return {reason: 'lostWorker', run, ...more};
}

function hangs(run: Poison['run'], more: Partial<Poison> = {}): Poison {
	return {reason: 'timedOut', hangs: true, run, ...more};
}

function fail(): never {
	throw new Error('replaced');
}

function forEver(): never {
	for (;;);
}

function cycle(): object {
	const one: {other?: object} = {};
	one.other = {one};
	return one;
}

function causedByItself(): Error {
	const error = new Error('first');
	error.cause = new Error('second', {cause: error});
	return error;
}

function hostile(): object {
	return new Proxy({}, {get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail, getOwnPropertyDescriptor: fail});
}

function revoked(): object {
	const {proxy, revoke} = Proxy.revocable({}, {});
	revoke();
	return proxy;
}

function withGetters(names: readonly string[]): Error {
	const fail = {
		get() {
			throw new Error('a getter');
		},
	};
	return Object.defineProperties(new Error('seen'), Object.fromEntries(names.map(name => [name, fail])));
}

/** A chain far longer than is kept. */
function longChain(): Error {
	let error = new Error('innermost');
	for (let depth = 0; depth < 10_000; depth++) error = new Error(`level ${depth}`, {cause: error});
	return error;
}

function deep(): unknown {
	let value: unknown = 1;
	for (let depth = 0; depth < 100_000; depth++) value = [value];
	return value;
}

/** Later than any chunk is final. */
const LATE_MS = 5000;

const HUGE = 2 ** 23;

export const POISONS: Readonly<Record<string, Poison>> = {
	// ——— throws ———
	'throw null': throws(() => null),
	'throw undefined': throws(() => undefined),
	'throw a symbol': throws(() => Symbol('thrown')),
	'throw a number': throws(() => Number.NaN),
	'throw a BigInt': throws(() => 12n),
	'throw a function': throws(() => forEver),
	'throw a class': throws(() => class Thrown {}),
	'throw a hostile proxy': throws(hostile),
	'throw a revoked proxy': throws(revoked),
	'throw an error whose getters throw': throws(() => withGetters(['name', 'message', 'stack', 'cause', 'code'])),
	'throw an error of 8 MiB': throws(() => new Error('x'.repeat(HUGE))),
	'throw a circular cause': throws(causedByItself),
	'throw a chain of 10,000 causes': throws(longChain),
	'throw a frozen error': throws(() => Object.freeze(new Error('frozen'))),
	'throw an object without a prototype': throws(() => Object.create(null)),
	'throw a promise': throws(() => Promise.reject(new Error('in a promise'))),
	'throw an error of another realm': throws(() => runInNewContext('new TypeError("from elsewhere")')),
	'throw an aggregate': throws(() => new AggregateError([new Error('one'), null, Symbol('two')], 'several')),
	'throw what is not text': throws(() => Object.assign(new Error(), {name: 5, message: {}, stack: Symbol('s'), code: {}})),
	'throw lone surrogates and NUL': throws(() => new Error('\ud800\0\u001b[2J')),
	'throw what JSON would ask': throws(() => Object.assign(new Error('seen'), {toJSON: forEver, toString: forEver})),
	'reject with null': {reason: 'threw', run: () => Promise.reject(null)},
	'reject later': {
		reason: 'threw',
		async run() {
			await new Promise(resolve => setImmediate(resolve));
			throw undefined;
		},
	},
	'a then that throws': {
		reason: 'threw',
		run: () => ({
			// biome-ignore lint/suspicious/noThenProperty: that is what is bad about it
			then() {
				throw new Error('in then');
			},
		}),
	},
	'overflow the stack': {
		reason: 'threw',
		run: function overflow(context): unknown {
			return [overflow(context), 1];
		},
	},
	'overflow the stack of a sort': {
		reason: 'threw',
		run: () =>
			[2, 1].sort(function compare(a, b): number {
				return [a, b].sort(compare).length;
			}),
	},

	// ——— surfaces after the return ———
	'reject and return': {
		reason: 'threw',
		surfacesLate: true,
		run() {
			void Promise.reject(new Error('nobody handles it'));
			return 1;
		},
	},
	'reject with a hostile proxy and return': {
		reason: 'threw',
		surfacesLate: true,
		run() {
			void Promise.reject(hostile());
			return 1;
		},
	},
	'throw in a microtask and return': {
		reason: 'threw',
		surfacesLate: true,
		run() {
			queueMicrotask(() => {
				throw null;
			});
			return 1;
		},
	},
	'throw in a tick and never end': {
		reason: 'threw',
		run() {
			process.nextTick(() => {
				throw new Error('in a tick');
			});
			return new Promise(() => undefined);
		},
	},
	'reject a thousand times and return': {
		reason: 'threw',
		surfacesLate: true,
		run() {
			for (let each = 0; each < 1000; each++) void Promise.reject(each);
			return 1;
		},
	},

	// ——— results ———
	'return a function': returns(() => forEver),
	'return a symbol': returns(() => Symbol('result')),
	'return a cycle': returns(cycle),
	'return a hostile proxy': {reason: 'threw', run: hostile},
	'return a hostile proxy inside': returns(() => [hostile()]),
	'return a revoked proxy inside': returns(() => [revoked()]),
	'return what getters throw': returns(() => ({a: withGetters(['message'])})),
	'return a WeakMap': returns(() => new WeakMap()),
	'return an instance': returns(() => new (class Point {})()),
	'return a nest of 100,000': returns(deep),
	'return 8 MiB of text': returns(() => 'x'.repeat(HUGE)),
	'return 8 MiB of bytes': returns(() => new Uint8Array(HUGE)),
	'return a wide array': returns(() => Array(300_000).fill(0)),
	'return a SharedArrayBuffer': returns(() => new SharedArrayBuffer(8)),
	'return a growing getter': returns(() => {
		const grow = (): object => ({
			get more() {
				return grow();
			},
		});
		return grow();
	}),

	// ——— never ends ———
	'loop for ever': hangs(forEver),
	'loop in microtasks': hangs(async () => {
		for (;;) await undefined;
	}),
	'never resolve': hangs(() => new Promise(() => undefined)),
	'return a thenable that never calls': hangs(() => ({
		// biome-ignore lint/suspicious/noThenProperty: that is what is bad about it
		then() {},
	})),
	'backtrack for ever': hangs(() => /^(a+)+$/.test(`${'a'.repeat(60)}b`)),
	'wait for ever': hangs(() => wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)),
	// A second on a fast machine: where it took less than the timeout it completed.
	'a native call that outlives the timeout': hangs(() => pbkdf2Sync('secret', 'salt', 3_000_000, 64, 'sha512')),
	'a shell that outlives the timeout': hangs(() => execSync('sleep 1')),
	'ignore the signal': hangs(async ({signal}) => {
		for (;;) await new Promise(resolve => signal.addEventListener('abort', resolve));
	}),
	'log for ever': hangs(context => {
		for (;;) context.log('x'.repeat(1000));
	}),
	'checkpoint for ever': hangs(context => {
		for (let step = 0; ; step++) context.checkpoint({step, padding: 'x'.repeat(10_000)});
	}),
	'progress for ever': hangs(context => {
		for (let step = 0; ; step++) context.progress(step);
	}),
	'stop itself': hangs(
		() => {
			process.kill(process.pid, 'SIGSTOP');
			forEver();
		},
		{only: 'process'},
	),
	'read the stdin of its pool': hangs(
		() => {
			for (;;) readFileSync(0);
		},
		{only: 'process'},
	),
	'listen to the stdin of its pool': hangs(
		() => {
			process.stdin.resume();
			return new Promise(() => undefined);
		},
		{only: 'process'},
	),
	'destroy the stdin of its pool': hangs(
		() => {
			process.stdin.destroy();
			return new Promise(() => undefined);
		},
		{only: 'process'},
	),

	// ——— takes its worker along ———
	exit: loses(() => process.exit(7)),
	'exit as if all were well': loses(() => process.exit(0)),
	'exit in a moment': loses(async () => {
		setImmediate(() => process.exit(3));
		await new Promise(() => undefined);
	}),
	'abort natively': loses(() => process.abort(), {endsProgram: true}),
	'a segmentation fault': loses(
		() => {
			process.kill(process.pid, 'SIGSEGV');
			forEver();
		},
		{endsProgram: true},
	),
	'kill itself': loses(
		() => {
			process.kill(process.pid, 'SIGKILL');
			forEver();
		},
		{endsProgram: true},
	),
	'out of memory by objects': loses(
		() => {
			const kept: unknown[] = [];
			for (;;) kept.push({a: kept.length, b: [kept.length, `${kept.length}`]});
		},
		{endsProgram: true},
	),
	'out of memory by one growing array': loses(
		() => {
			const kept: number[] = [];
			for (;;) kept.push(kept.length + 0.5);
		},
		{endsProgram: true},
	),
	'out of memory by a map of texts': loses(
		() => {
			const kept = new Map<string, string>();
			for (let key = 0; ; key++) kept.set(`key ${key}`, `${key}`.repeat(100));
		},
		{endsProgram: true},
	),
	'out of memory by closures': loses(
		() => {
			let last = () => 0;
			for (;;) {
				const before = last;
				const held = Array(100).fill(0);
				last = () => held.length + before();
			}
		},
		{endsProgram: true},
	),
	disconnect: hangs(
		() => {
			process.disconnect?.();
			return new Promise(() => undefined);
		},
		{only: 'process'},
	),
	// Each of them, since what Faena needs may change.
	'break what Faena needs of its worker': loses(() => spoil('nothing of arrays works')),
	'let its worker report nothing': loses(() => spoil('slice() gives nothing')),

	// ——— bad manners ———
	'throw when all is over': {
		run() {
			setTimeout(() => {
				throw new Error('too late');
			}, LATE_MS);
			return 1;
		},
	},
	'reject when all is over': {
		run() {
			setTimeout(() => Promise.reject(hostile()), LATE_MS);
			return 1;
		},
	},
	'flood the log': {
		run(context) {
			for (let line = 0; line < 20_000; line++) context.log('line', line, {line});
			return 1;
		},
	},
	'log what hardly can be logged': {
		run(context) {
			context.log(hostile(), revoked(), cycle(), Symbol('s'), 1n);
			context.log('x'.repeat(HUGE));
			return 1;
		},
	},
	'print a flood': {
		run() {
			process.stderr.write(`${'x'.repeat(100_000)}\n`);
			return 1;
		},
	},
	'post junk to the pool': {
		run() {
			for (const junk of JUNK) tell(junk);
			return 1;
		},
	},
	'post a flood of junk': {
		run() {
			for (let each = 0; each < 10_000; each++) tell({each});
			return 1;
		},
	},
	'disconnect and return': {
		only: 'process',
		run() {
			process.disconnect?.();
			return 1;
		},
	},
	'replace the clocks and timers': {
		run() {
			Date.now = () => Number.NaN;
			performance.now = fail;
			Object.assign(globalThis, {setTimeout: fail, setImmediate: fail, setInterval: fail, clearTimeout: fail});
			return 1;
		},
	},
	'replace what counts and measures': {run: () => spoil('Math gives NaN')},
	'replace what claims jobs': {run: () => spoil('Atomics give 0')},
	'replace JSON': {
		run() {
			Object.assign(JSON, {parse: fail, stringify: fail});
			return 1;
		},
	},
	'replace the way to its pool': {
		run() {
			if (parentPort) parentPort.postMessage = fail;
			else process.send = fail;
			return 1;
		},
	},
	'pollute all objects': {
		run() {
			Object.assign(Object.prototype, {polluted: 'x', isAdmin: true, options: {}});
			return 1;
		},
	},
	'leave handles open': {
		run() {
			setInterval(() => undefined, 1000);
			return 1;
		},
	},
	'ask for its environment to change': {
		run() {
			process.env['NODE_OPTIONS'] = '--no-such-option';
			process.title = 'x';
			return 1;
		},
	},
	'listen to everything': {
		run() {
			process.on('uncaughtException', () => undefined);
			process.on('message', () => undefined);
			parentPort?.on('message', () => undefined);
			return 1;
		},
	},
};

const JUNK: readonly unknown[] = [
	null,
	0,
	'',
	'ready',
	[],
	{},
	{type: 'update'},
	{chunk: null},
	{chunk: 'x', type: 'final'},
	{type: 'outcomes', chunk: -1},
	new Map(),
	new Error('junk'),
];

/** As they were before another poison of this worker replaced them: this, */
const {wait} = Atomics;
/** and the way to the pool. */
const post = parentPort?.postMessage.bind(parentPort);
const send = process.send?.bind(process);

function tell(message: unknown): void {
	if (post) post(message);
	// Another bad job of this process may have disconnected it. Then no job can send, which is no fault of this one.
	else if (process.connected) send?.(message);
}
