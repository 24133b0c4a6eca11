import {isRefusal} from '../dispatcher/bisection.ts';
import type {Claim} from '../job/claim.ts';
import type {Note} from '../job/outcome.ts';
import type {JobQueue} from '../store/store.ts';
import type {Noted} from '../worker/updates.ts';
import {warn} from './warnings.ts';

/**
 * What a task of `work()` says of itself: lines and progress are written with its outcome, a checkpoint at once. At once means in the
 * task's own call, where the queue is synchronous, since a task that computes lets nothing else happen until it ends.
 */
export class DirectUpdateWriter {
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
		const notes = this.#notes.splice(0);
		try {
			const turn = this.#queue.turn({notes, isUrgent: true});
			if (turn instanceof Promise) this.#writing = this.#next(notes, turn);
		} catch (error) {
			this.#keep(notes, error);
		}
	}

	async #next(notes: readonly Note[], turn: Promise<unknown>): Promise<void> {
		const isWritten = await turn.then(
			() => true,
			error => this.#keep(notes, error),
		);
		this.#writing = undefined;
		if (isWritten) this.#write();
	}

	/** What may be written later is tried again with the next note, or with the outcome. */
	#keep(notes: readonly Note[], error: unknown): void {
		if (isRefusal(error)) warn('refused', {id: this.#claim.id, error});
		else this.#notes.unshift(...notes);
	}
}
