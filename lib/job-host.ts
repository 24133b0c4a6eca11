import type {Board, StopReason} from './board.ts';
import type {Host, Noted} from './context.ts';
import type {Encoded} from './encoding.ts';
import {type ChunkMessage, idAt, type NoteMessage, numberAt} from './protocol.ts';
import type {TaskContext} from './task.ts';

/** Where one job of a chunk runs: what its context asks. Most contexts ask for nothing, so making one makes nothing else. */
export class JobHost implements Host {
	readonly #chunk: ChunkMessage;
	readonly #index: number;
	readonly #board: Board;
	readonly #together: number;
	readonly #post: (note: NoteMessage) => void;

	/** @param together jobs that run at the same time as this one, itself included */
	constructor(chunk: ChunkMessage, index: number, board: Board, together: number, post: (note: NoteMessage) => void) {
		this.#chunk = chunk;
		this.#index = index;
		this.#board = board;
		this.#together = together;
		this.#post = post;
	}

	get job(): TaskContext['job'] {
		const {task, executions, attempts, maxAttempts, keys} = this.#chunk;
		const index = this.#index;
		const key = keys.get(index);
		return {
			id: idAt(this.#chunk, index),
			task,
			execution: numberAt(executions, index),
			attempts: attempts.get(index) ?? 0,
			maxAttempts: numberAt(maxAttempts, index),
			...(key !== undefined && {key}),
		};
	}

	get checkpoint(): Encoded | undefined {
		return this.#chunk.checkpoints.get(this.#index);
	}

	stopReason(): StopReason | undefined {
		return this.#board.stopReason(this.#index);
	}

	stopped(): Promise<void> {
		return this.#board.stopped(this.#index);
	}

	/** The board has room for what one running job says. */
	get progress(): Host['progress'] {
		return this.#together === 1 ? (done, total, at) => this.#board.setProgress(done, total, at) : undefined;
	}

	note(note: Noted): void {
		this.#post({type: 'note', chunk: this.#chunk.chunk, index: this.#index, ...note});
	}
}
