import type {OwnerId} from '../job/claim.ts';
import type {Store} from '../store/store.ts';
import type {Clock} from '../support/clock.ts';
import type {Agenda} from './agenda.ts';
import type {Clients} from './clients.ts';
import type {Retries} from './retries.ts';

/** The dispatcher, as its parts see it. */
export interface Context {
	readonly store: Store;
	readonly owner: OwnerId;
	/** The scopes whose jobs it runs, besides jobs without a scope. */
	readonly scopes: readonly string[];
	readonly clock: Clock;
	readonly clients: Clients;
	readonly retries: Retries;
	readonly agenda: Agenda;
	/** Lets the loop run. @param why for a trace */
	wake(why: string): void;
	/** Does maintenance between many transactions in a row. */
	maintain(): Promise<void>;
}
