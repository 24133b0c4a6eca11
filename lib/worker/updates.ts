import {MAX_LOG_LINES} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {LogLevel, LogLine} from '../job/job.ts';
import {clearTimeout, setTimeout, steadyMs, wallMs} from '../support/primordials.ts';

/**
 * Updates within this time of the last one sent travel together. A checkpoint waits only for this time since the last
 * checkpoint, however many lines come between: so a crash, or a loop that never yields, loses no more work than that.
 */
const SEND_EVERY_MS = 50;
/** The first lines of a job don't wait. */
const LINES_AT_ONCE = 8;

export const MAX_LOG_TEXT = 4096;

/** Progress, log lines and checkpoints of one execution, collected so that they travel in few messages. */
export class JobUpdates {
	readonly #send: (update: JobUpdate) => void;
	#pending: JobUpdate | undefined;
	#sentAt = -Infinity;
	#lines = 0;
	#checkpointedAt = -Infinity;
	/** Sends what is pending, if the task lets the event loop turn. */
	#timer: NodeJS.Timeout | undefined;

	constructor(send: (update: JobUpdate) => void) {
		this.#send = send;
	}

	/** Progress that is published elsewhere only travels with the next update. */
	addProgress(progress: NonNullable<JobUpdate['progress']>, isSeen: boolean): void {
		this.#pending ??= {};
		this.#pending.progress = progress;
		if (!isSeen) this.#sendSometimes(false);
	}

	addLine(level: LogLevel, text: string): void {
		this.#pending ??= {};
		this.#pending.logs ??= [];
		this.#pending.logs.push({at: wallMs(), level, text: text.length > MAX_LOG_TEXT ? `${text.slice(0, MAX_LOG_TEXT)}…` : text});
		// The queue keeps only the last lines of a job.
		if (this.#pending.logs.length > MAX_LOG_LINES) this.#pending.logs.shift();
		this.#sendSometimes(++this.#lines <= LINES_AT_ONCE);
	}

	addCheckpoint(state: Encoded): void {
		this.#pending ??= {};
		this.#pending.checkpoint = {at: wallMs(), state};
		this.#sendSometimes(steadyMs() - this.#checkpointedAt >= SEND_EVERY_MS);
	}

	#sendSometimes(isUrgent: boolean): void {
		if (isUrgent || steadyMs() - this.#sentAt >= SEND_EVERY_MS) this.#sendNow();
		else this.#timer ??= setTimeout(() => this.#sendNow(), SEND_EVERY_MS);
	}

	#sendNow(): void {
		this.#sentAt = steadyMs();
		this.flush();
	}

	/** Sends what still waits. */
	flush(): void {
		if (this.#timer) clearTimeout(this.#timer);
		this.#timer = undefined;
		const pending = this.#pending;
		if (!pending) return;
		this.#pending = undefined;
		if (pending.checkpoint) this.#checkpointedAt = steadyMs();
		this.#send(pending);
	}
}

export interface JobUpdate {
	progress?: {done: number; total?: number; at: number};
	logs?: Omit<LogLine, 'execution'>[];
	checkpoint?: {at: number; state: Encoded};
}
