import type {Encoded} from '../job/encoding.ts';
import type {LogLevel, LogLine} from '../job/job.ts';
import {MAX_LOG_LINES} from '../job/outcome.ts';
import {clearTimeout, setTimeout, steadyMs, wallMs} from '../support/primordials.ts';

/**
 * What is said within this time of the last note travels with the next one. A checkpoint waits only for this time since the
 * last checkpoint, however many lines come between, so that less work than that is lost with it whatever follows, a loop or a crash;
 */
const NOTE_EVERY_MS = 50;
/** and the first lines don't wait at all. */
const LINES_AT_ONCE = 8;

export const MAX_LOG_TEXT = 4096;

/** What one execution says of itself while it runs: collected, so that it travels in few notes. */
export class Notes {
	readonly #send: (note: Noted) => void;
	#pending: Noted | undefined;
	#notedAt = -Infinity;
	#lines = 0;
	#checkpointedAt = -Infinity;
	/** Ends the wait of what is pending, where the task lets it. */
	#timer: NodeJS.Timeout | undefined;

	constructor(send: (note: Noted) => void) {
		this.#send = send;
	}

	/** Progress that somebody sees at once only travels with what comes next. */
	addProgress(progress: NonNullable<Noted['progress']>, isSeen: boolean): void {
		this.#pending ??= {};
		this.#pending.progress = progress;
		if (!isSeen) this.#noteSometimes(false);
	}

	addLine(level: LogLevel, text: string): void {
		this.#pending ??= {};
		this.#pending.logs ??= [];
		this.#pending.logs.push({at: wallMs(), level, text: text.length > MAX_LOG_TEXT ? `${text.slice(0, MAX_LOG_TEXT)}…` : text});
		// The first ones of a flood are of no use to anybody: the queue keeps the last.
		if (this.#pending.logs.length > MAX_LOG_LINES) this.#pending.logs.shift();
		this.#noteSometimes(++this.#lines <= LINES_AT_ONCE);
	}

	addCheckpoint(state: Encoded): void {
		this.#pending ??= {};
		this.#pending.checkpoint = {at: wallMs(), state};
		this.#noteSometimes(steadyMs() - this.#checkpointedAt >= NOTE_EVERY_MS);
	}

	#noteSometimes(isUrgent: boolean): void {
		if (isUrgent || steadyMs() - this.#notedAt >= NOTE_EVERY_MS) this.#note();
		else this.#timer ??= setTimeout(() => this.#note(), NOTE_EVERY_MS);
	}

	#note(): void {
		this.#notedAt = steadyMs();
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

export interface Noted {
	progress?: {done: number; total?: number; at: number};
	logs?: Omit<LogLine, 'execution'>[];
	checkpoint?: {at: number; state: Encoded};
}
