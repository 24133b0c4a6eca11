import type {Store} from '../store/store.ts';
import {FaenaError} from '../support/errors.ts';
import type {Call} from '../transport/messages.ts';
import type {Clients} from './clients.ts';

type IdleCall = Call & {readonly type: 'idle'};

/** Calls that wait until no job of the engine's tasks, here or in another process, can run by itself. With `waiting`, delayed jobs count too. */
export class IdleCalls {
	readonly #store: Store;
	readonly #clients: Clients;
	#waiting: IdleCall[] = [];

	constructor(store: Store, clients: Clients) {
		this.#store = store;
		this.#clients = clients;
	}

	add(call: IdleCall): void {
		this.#waiting.push(call);
	}

	get isEmpty(): boolean {
		return this.#waiting.length === 0;
	}

	/**
	 * Answers the calls if the store has no such job. Call it only while the dispatcher itself has none.
	 * @param isDue true if a delayed job has become due: the next commit makes it ready
	 */
	async answer(tasks: readonly string[], isDue: boolean): Promise<void> {
		const counts = (await this.#store.counts()).filter(({task}) => tasks.includes(task));
		const sum = (of: (each: (typeof counts)[number]) => number) => counts.reduce((total, each) => total + of(each), 0);
		if (sum(each => each.running + (each.isPaused ? 0 : each.ready + each.quarantined)) > 0) return;
		const delayed = sum(each => (each.isPaused ? 0 : each.delayed + each.failed));
		for (const call of this.#waiting.splice(0)) {
			if (call.waiting ? delayed > 0 : isDue) this.#waiting.push(call);
			else this.#clients.reply(call.call, undefined);
		}
	}

	refuse(): void {
		for (const {call} of this.#waiting.splice(0)) this.#clients.refuse(call, new FaenaError('Closed', 'The engine was closed while idle() waited.'));
	}
}
