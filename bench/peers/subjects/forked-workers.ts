import {type ChildProcess, fork} from 'node:child_process';
import {setTimeout as delay} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Sums} from '../../subjects/subject.ts';
import type {Assignment, FromForkedWorker} from './forked-worker.ts';

/**
 * The processes that execute a peer's jobs, each with a worker of the peer. While they execute, they report every millisecond what they
 * have executed. Only the store knows whether these jobs are durably completed.
 */
export class ForkedWorkers {
	readonly #children: readonly ChildProcess[];
	readonly #died: Promise<never>;
	readonly #sums = new Map<ChildProcess, Sums>();
	#wake = () => {};

	/** Forks as many processes as the case has workers, and waits until all are ready for jobs. */
	static async start(module: URL, assignment: Assignment): Promise<ForkedWorkers> {
		const children = Array.from({length: assignment.given.workers}, () => fork(fileURLToPath(module), [JSON.stringify(assignment)]));
		const workers = new ForkedWorkers(children);
		await Promise.race([Promise.all(children.map(isReady)), workers.#died]);
		return workers;
	}

	private constructor(children: readonly ChildProcess[]) {
		this.#children = children;
		for (const child of children) child.on('message', (message: FromForkedWorker) => this.#hear(child, message));
		this.#died = new Promise((_, reject) => {
			for (const child of children) child.once('exit', code => reject(new Error(`A worker process of the peer ended with code ${code}`)));
		});
		this.#died.catch(() => {});
	}

	/**
	 * Resolves when so many executions have been reported since the start, and the store has no unfinished jobs. It asks the store only after
	 * these reports, because each question takes time from the peer; then once a millisecond.
	 */
	async finish(executions: number, isDone: () => boolean | Promise<boolean>): Promise<void> {
		while (this.sums().completed < executions) await Promise.race([new Promise<void>(resolve => (this.#wake = resolve)), this.#died]);
		while (!(await isDone())) await Promise.race([delay(1), this.#died]);
	}

	/** Sums of all executions, repeated ones included. */
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

	#hear(child: ChildProcess, message: FromForkedWorker): void {
		if (message === 'ready') return;
		this.#sums.set(child, message);
		this.#wake();
	}
}

function isReady(child: ChildProcess): Promise<void> {
	return new Promise(resolve => {
		child.on('message', (message: FromForkedWorker) => {
			if (message === 'ready') resolve();
		});
	});
}
