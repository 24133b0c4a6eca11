import type {Noted} from './context.ts';
import type {Claim, JobQueue, Note} from './queue.ts';

/**
 * What a task of `work()` says of itself: lines and progress are written with its outcome, a checkpoint at once. At once means in the
 * task's own call, where the queue is synchronous, since a task that computes lets nothing else happen until it ends.
 */
export class Notebook {
	readonly #queue: JobQueue;
	readonly #claim: Claim;
	#notes: Note[] = [];
	#writing: Promise<void> | undefined;

	constructor(queue: JobQueue, claim: Claim) {
		this.#queue = queue;
		this.#claim = claim;
	}

	add(note: Noted): void {
		this.#notes.push({...this.#claim, ...note});
		this.#write();
	}

	/** Gives what is left to be written. */
	async close(): Promise<readonly Note[]> {
		while (this.#writing) await this.#writing;
		return this.#notes;
	}

	#write(): void {
		if (this.#writing || !this.#notes.some(note => note.checkpoint)) return;
		try {
			const turn = this.#queue.turn({notes: this.#notes.splice(0)});
			if (turn instanceof Promise) this.#writing = this.#next(turn);
		} catch {
			// It will say why when the job is settled.
		}
	}

	async #next(turn: Promise<unknown>): Promise<void> {
		await turn.catch(() => undefined);
		this.#writing = undefined;
		this.#write();
	}
}
