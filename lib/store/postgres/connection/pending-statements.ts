import {setTimeout as sleep} from 'node:timers/promises';
import {systemClock} from '../../../support/clock.ts';
import type {PostgresClient, PostgresPool, PostgresQuery} from '../../postgres-client.ts';
import {isConnectionLost} from './postgres-errors.ts';
import {findOut} from './silence.ts';

/** An answer that the server has sent is here within this time. */
const MAX_WAY_MS = 1000;

/** A statement that waits for its answer. */
interface Sent {
	readonly client: PostgresClient;
	/** By the steady clock. */
	readonly at: number;
	/** Ends its connection, and with it the wait. */
	readonly end: () => void;
}

/** Statements that wait for their answers. Looks after those that wait long, and ends their connections if the server does not know them, or is gone. */
export class PendingStatements {
	readonly #pool: PostgresPool;
	readonly #maxMs: number;
	readonly #sent = new Set<Sent>();
	/** When the server has last answered, by the steady clock. */
	#answeredAt = systemClock.steadyMs();
	/** The look for statements that have waited long. There is one at a time, since it takes a connection more. */
	#look: Promise<void> | undefined;
	/** Called if the server is gone: for connections on which nothing waits. */
	readonly onSilence = new Set<() => void>();

	/** @param maxMs after it has waited this long for an answer, a statement is looked for in the server */
	constructor(pool: PostgresPool, maxMs: number) {
		this.#pool = pool;
		this.#maxMs = maxMs;
	}

	/** Sends a statement. If the answer does not come, `end` may be called: otherwise it would wait until the network gives up, which takes minutes. */
	async ask(client: PostgresClient, query: PostgresQuery, end: () => void = () => client.end?.()): Promise<unknown[]> {
		const sent = {client, at: systemClock.steadyMs(), end};
		this.#sent.add(sent);
		const stop = systemClock.every(this.#maxMs, () => {
			this.#look ??= this.#lookForLate().finally(() => {
				this.#look = undefined;
			});
		});
		try {
			const {rows} = await client.query(query);
			this.#answeredAt = systemClock.steadyMs();
			return rows;
		} catch (error) {
			if (!isConnectionLost(error)) this.#answeredAt = systemClock.steadyMs();
			throw error;
		} finally {
			stop();
			this.#sent.delete(sent);
		}
	}

	/** Ends the connections of statements that have waited long and that the server does not know, and all if the server is gone. */
	async #lookForLate(): Promise<void> {
		const begunAt = systemClock.steadyMs();
		const late = [...this.#sent].filter(({at}) => begunAt - at > this.#maxMs / 2);
		const {isSilent, idle} = await findOut(
			late.flatMap(({client}) => client.processID ?? []),
			this.#pool,
			this.#maxMs,
		);
		if (idle.length > 0) {
			await sleep(MAX_WAY_MS);
			for (const sent of late) if (this.#sent.has(sent) && idle.includes(sent.client.processID as number)) sent.end();
		}
		// Answers may have come just now, if the program was suspended.
		await systemClock.nextTurn();
		if (!isSilent || systemClock.steadyMs() - this.#answeredAt < this.#maxMs) return;
		for (const {at, end} of this.#sent) if (at < begunAt) end();
		for (const lose of this.onSilence) lose();
	}
}
