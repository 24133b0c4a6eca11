import {type ChildProcess, fork} from 'node:child_process';
import {setTimeout as delay} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Sums} from '../../subjects/subject.ts';
import type {Assignment, FromHand} from './hand.ts';

/**
 * Processes that execute a peer's jobs, each with a worker of the peer's own. They say every {@link REPORT_MS} how much they have
 * executed; whether that is also durably completed is for the store to say.
 */
export class Hands {
	readonly #children: readonly ChildProcess[];
	readonly #died: Promise<never>;
	readonly #sums = new Map<ChildProcess, Sums>();
	#wake = () => {};

	/** Forks as many as the case has workers (or `vary.processes`), and waits until all are ready for jobs. */
	static async start(module: URL, count: number, assignment: Assignment): Promise<Hands> {
		const children = Array.from({length: count}, () => fork(fileURLToPath(module), [JSON.stringify(assignment)]));
		const hands = new Hands(children);
		await Promise.race([Promise.all(children.map(isReady)), hands.#died]);
		return hands;
	}

	private constructor(children: readonly ChildProcess[]) {
		this.#children = children;
		for (const child of children) child.on('message', (message: FromHand) => this.#hear(child, message));
		this.#died = new Promise((_, reject) => {
			for (const child of children) child.once('exit', code => reject(new Error(`A worker process of the peer ended with code ${code}`)));
		});
		this.#died.catch(() => {});
	}

	/**
	 * Resolves when so many executions have been reported since the start, and the store has nothing unfinished any more. The store is
	 * not asked before, since that would take time from the peer; then once a millisecond.
	 */
	async finish(executions: number, isDone: () => boolean | Promise<boolean>): Promise<void> {
		while (this.sums().completed < executions) await Promise.race([new Promise<void>(resolve => (this.#wake = resolve)), this.#died]);
		while (!(await isDone())) await Promise.race([delay(1), this.#died]);
	}

	/** What the executions add up to, repeated ones included. */
	sums(): Sums {
		const all = [...this.#sums.values()];
		return {completed: all.reduce((sum, {completed}) => sum + completed, 0), results: all.reduce((sum, {results}) => sum + results, 0)};
	}

	async close(): Promise<void> {
		for (const child of this.#children) child.removeAllListeners('exit');
		await Promise.all(
			this.#children.map(async child => {
				const ended = new Promise(resolve => child.once('exit', resolve));
				child.disconnect();
				await ended;
			}),
		);
	}

	#hear(child: ChildProcess, message: FromHand): void {
		if (message === 'ready') return;
		this.#sums.set(child, message);
		this.#wake();
	}
}

function isReady(child: ChildProcess): Promise<void> {
	return new Promise(resolve => {
		child.on('message', (message: FromHand) => {
			if (message === 'ready') resolve();
		});
	});
}
