import {MAX_LOG_LINES} from '../job/claim.ts';
import type {Encoded} from '../job/encoding.ts';
import type {LogLine, Progress} from '../job/job.ts';
import {clearTimeout, setTimeout, steadyMs, wallMs} from '../support/primordials.ts';
import type {NewLine} from './job-commands.ts';

/** Updates within this time of the last one travel together. A checkpoint waits only for this time since the last checkpoint: no more work than that is lost. */
const SEND_EVERY_MS = 50;
/** The first lines of a job don't wait. */
const LINES_AT_ONCE = 8;

export const MAX_LOG_TEXT = 4096;

interface Said {
	progress?: Progress;
	nth?: number;
	logs?: Omit<LogLine, 'execution'>[];
	checkpoint?: {readonly at: number; readonly state: Encoded};
}

/** Progress, log lines and checkpoints of one execution, collected so that they travel in few messages. */
export class JobUpdates {
	readonly #send: (update: Said) => void;
	#pending: Said | undefined;
	#sentAt = -Infinity;
	#lines = 0;
	#progresses = 0;
	#checkpointedAt = -Infinity;
	/** Sends what is pending, if the task lets the event loop turn. */
	#timer: NodeJS.Timeout | undefined;

	constructor(send: (update: Said) => void) {
		this.#send = send;
	}

	/** Progress that is published elsewhere only travels with the next update. */
	addProgress(progress: Progress, isSeen: boolean): void {
		this.#pending ??= {};
		this.#pending.progress = progress;
		this.#pending.nth = ++this.#progresses;
		if (!isSeen) this.#sendSometimes(false);
	}

	addLines(lines: readonly NewLine[], mayWait: boolean): void {
		this.#pending ??= {};
		this.#pending.logs ??= [];
		const at = wallMs();
		// The queue keeps only the last lines of a job.
		for (let index = Math.max(0, lines.length - MAX_LOG_LINES); index < lines.length; index++) {
			const {level, text} = lines[index] as NewLine;
			this.#pending.logs.push({at, level, text: text.length > MAX_LOG_TEXT ? `${text.slice(0, MAX_LOG_TEXT)}…` : text});
			if (this.#pending.logs.length > MAX_LOG_LINES) this.#pending.logs.shift();
		}
		this.#lines += lines.length;
		if (mayWait) this.#sendLater();
		else this.#sendSometimes(this.#lines <= LINES_AT_ONCE);
	}

	addCheckpoint(state: Encoded): void {
		this.#pending ??= {};
		this.#pending.checkpoint = {at: wallMs(), state};
		this.#sendSometimes(steadyMs() - this.#checkpointedAt >= SEND_EVERY_MS);
	}

	#sendSometimes(isUrgent: boolean): void {
		if (isUrgent || steadyMs() - this.#sentAt >= SEND_EVERY_MS) this.flush();
		else this.#sendLater();
	}

	#sendLater(): void {
		this.#timer ??= setTimeout(() => this.flush(), SEND_EVERY_MS);
	}

	flush(): void {
		if (this.#timer) clearTimeout(this.#timer);
		this.#timer = undefined;
		const pending = this.#pending;
		if (!pending) return;
		this.#pending = undefined;
		this.#sentAt = steadyMs();
		if (pending.checkpoint) this.#checkpointedAt = this.#sentAt;
		this.#send(pending);
	}
}
