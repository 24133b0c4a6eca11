import type {Worker} from 'node:worker_threads';
import {type ErrorEnvelope, fromEnvelope} from '../job/failure.ts';
import {codesOf, standFor, tableOf} from '../job/task/task-module.ts';
import {startThread, workerUrl} from '../support/node.ts';
import {FreshnessChecker} from './checker.ts';
import type {FreshnessCalls} from './messages.ts';

/** Answers which items of maps are out of date. */
export interface OpenFreshness {
	/** @throws FaenaError `BadOption`, `BadTasksModule`, `UnknownTask` */
	ask<Call extends keyof FreshnessCalls>(call: Call, about: Parameters<FreshnessCalls[Call]>[0]): Promise<ReturnType<FreshnessCalls[Call]>>;
	close(): Promise<void>;
}

/** @param tasks the URL of the tasks module */
export function openFreshness(tasks: string, env?: Readonly<Record<string, string>>, execArgv?: readonly string[]): OpenFreshness {
	const stand = standFor(tasks);
	return stand ? ofObject(stand) : new FreshnessThread(tasks, env, execArgv);
}

/** Tasks of an object that stands in for a module, as in a test: no other thread has it, and their code is their text. */
function ofObject(stand: object): OpenFreshness {
	const tasks = tableOf(stand);
	const checker = new FreshnessChecker(tasks, codesOf(tasks, [...tasks.values()].join('\n')));
	return {ask: async (call, about) => checker[call](about as never) as never, close: async () => undefined};
}

/** A call, and its argument. */
export type FreshnessCall = readonly [call: keyof FreshnessCalls, about: unknown];

/** The thread has loaded the tasks, or failed to; then its answers, in the order of the calls. */
export type FreshnessMessage = 'loaded' | {readonly value: unknown} | {readonly error: ErrorEnvelope};

/** The thread that looks at files and code, from the caller's side: an `OpenFreshness`. It starts with the first question. */
export class FreshnessThread {
	readonly #tasks: string;
	readonly #env: Readonly<Record<string, string>>;
	readonly #execArgv: readonly string[];
	#thread: Worker | undefined;
	#isClosed = false;
	#loaded = Promise.withResolvers<void>();
	readonly #waiting: {readonly resolve: (answer: never) => void; readonly reject: (error: unknown) => void}[] = [];

	/** @param execArgv the Node options of workers: they may decide which modules the tasks import */
	constructor(tasks: string, env: Readonly<Record<string, string>> = {}, execArgv: readonly string[] = []) {
		this.#tasks = tasks;
		this.#env = env;
		this.#execArgv = execArgv;
	}

	async ask<Answer>(...call: FreshnessCall): Promise<Answer> {
		if (this.#isClosed) throw new Error('The engine is closed, so that files are not looked at any more.');
		this.#thread ??= this.#open();
		this.#thread.ref();
		this.#thread.postMessage(call);
		return new Promise((resolve, reject) => this.#waiting.push({resolve, reject}));
	}

	#open(): Worker {
		// Each worker prints what the tasks module prints when it is loaded. This thread does not print it once more.
		const options = {workerData: this.#tasks, env: {...process.env, ...this.#env}, stdout: true, stderr: true, name: 'faena freshness'};
		const thread = startThread(workerUrl('freshness'), options, this.#execArgv);
		thread.stdout.resume();
		thread.stderr.resume();
		thread.on('message', (message: FreshnessMessage) => (message === 'loaded' ? this.#loaded.resolve() : this.#answer(message)));
		thread.on('error', error => this.#fail(error));
		thread.on('exit', code => this.#fail(new Error(`The thread that compares files has ended (${code}).`)));
		return thread;
	}

	#answer(answer: Exclude<FreshnessMessage, 'loaded'>): void {
		const call = this.#waiting.shift();
		if (this.#waiting.length === 0) this.#thread?.unref();
		if ('value' in answer) call?.resolve(answer.value as never);
		else call?.reject(fromEnvelope(answer.error));
	}

	#fail(error: unknown): void {
		this.#thread = undefined;
		this.#loaded.resolve();
		for (const {reject} of this.#waiting.splice(0)) reject(error);
	}

	/** Ends the thread. Open questions are rejected. */
	async close(): Promise<void> {
		this.#isClosed = true;
		const thread = this.#thread;
		if (!thread) return;
		thread.ref();
		// To end it while it loads native code could end the process.
		await this.#loaded.promise;
		await thread.terminate();
	}
}
