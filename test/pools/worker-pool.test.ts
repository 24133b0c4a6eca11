import test from 'ava';
import {Board} from '../../lib/board.ts';
import {WorkerPool} from '../../lib/pools/worker-pool.ts';
import {type Examination, type PoolWorker, SharedBoard, type SourceListener, type WorkerSource} from '../../lib/pools/worker-source.ts';
import type {WorkerRequest} from '../../lib/protocol.ts';
import {Crew} from './contract.ts';

/** Its one worker starts the first job that it is given, which heeds nothing and never ends. */
class Stuck implements WorkerSource, PoolWorker {
	readonly kind = 'process';
	readonly maxJobs = 1;
	listener: SourceListener | undefined;
	looks = 0;

	start(_: number, listener: SourceListener): void {
		this.listener = listener;
		listener.joined(this);
	}

	add(): void {}

	board(jobs: number): SharedBoard {
		return new SharedBoard(jobs);
	}

	async request(request: WorkerRequest): Promise<unknown> {
		if (request.type === 'chunk') new Board(request.board as SharedArrayBuffer).start(0, 0);
		return {tasks: [{name: 'stuck', options: {}}]};
	}

	async examine(): Promise<Examination> {
		this.looks++;
		return {};
	}

	end(): boolean {
		queueMicrotask(() => this.listener?.gone(this, {exitCode: null, signal: 'SIGKILL'}));
		return true;
	}

	async close(): Promise<void> {}
}

for (const [reason, looks] of [
	['cancelled', 1],
	['interrupted', 0],
] as const) {
	test(`before a worker is ended whose job does not heed that it is ${reason} the job is looked at ${looks} times: a close waits for no look`, async t => {
		const source = new Stuck();
		// The pool's own timers keep nothing alive.
		const timer = setInterval(() => undefined, 1000);
		t.teardown(() => clearInterval(timer));
		const crew = new Crew(t, (options, listener) => new WorkerPool(source, options, listener));
		await crew.load({workers: 1, graceMs: 20});
		const [id] = await crew.give('stuck', [null]);
		t.true(crew.pool.stop(id as number, reason));
		await crew.outcomes([id]);
		t.is(source.looks, looks);
	});
}
