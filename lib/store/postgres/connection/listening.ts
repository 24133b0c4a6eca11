import type {PostgresClient, PostgresQuery} from '../../postgres-client.ts';
import type {PendingStatements} from './pending-statements.ts';

/** What is heard on a connection that listens. */
export interface Heard {
	/** A notification of another store has come. */
	readonly heard: () => void;
	/** A notification of this store has come. */
	readonly own: () => void;
	/** Called once, if the connection is lost. */
	readonly lost: () => void;
}

/** A connection that listens. */
export class Listening {
	readonly #client: PostgresClient;
	readonly #answers: PendingStatements;
	/** The number of this store. */
	readonly #store: number;
	readonly #to: Heard;
	/** Statements that wait for their answers. A pooler may pass a notification on with an answer, and never without one. */
	#asked = 0;
	#isEnded = false;

	constructor(client: PostgresClient, answers: PendingStatements, store: number, to: Heard) {
		this.#client = client;
		this.#answers = answers;
		this.#store = store;
		this.#to = to;
		answers.onSilence.add(this.#lose);
		client.on('notification', this.#notified);
		client.on('error', this.#lose);
	}

	readonly #notified = ({payload}: {readonly payload?: string | undefined}): void => {
		if (payload !== `${this.#store}`) this.#to.heard();
		else if (this.#asked === 0) this.#to.own();
	};

	readonly #lose = (): void => {
		if (this.#isEnded) return;
		this.end();
		this.#to.lost();
	};

	async ask(query: PostgresQuery): Promise<void> {
		this.#asked++;
		await this.#answers.ask(this.#client, query, this.#lose).finally(() => this.#asked--);
	}

	end(): void {
		if (this.#isEnded) return;
		this.#isEnded = true;
		this.#answers.onSilence.delete(this.#lose);
		this.#client.off('notification', this.#notified);
		this.#client.release(true);
	}
}
