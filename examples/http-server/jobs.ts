/** What both servers do with a request, whatever the framework. */
import {FaenaError, open} from 'faena';

export const faena = await open<typeof import('./tasks.ts')>({queue: 'http.db', tasks: new URL('./tasks.ts', import.meta.url)});

export interface Answer {
	readonly status: number;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body: object;
}

/** Accepts work. A client that got no answer sends it again with the same key, and there is one job all the same. */
export function accept(body: unknown, key: string | undefined): Promise<Answer> {
	return answer(async () => {
		const {below} = Object(body) as {readonly below?: unknown};
		if (!Number.isSafeInteger(below) || (below as number) < 2 || (below as number) > 1e8) return {status: 400, body: {error: 'below: a number from 2 to 1e8'}};
		// The job is durable when this resolves.
		const {id} = await faena.enqueue('countPrimes', {below: below as number}, key === undefined ? {} : {key});
		return {status: 202, headers: {location: `/jobs/${id}`}, body: {id}};
	});
}

/** The state of a job. If it has not ended, waits for its end: at most so many seconds, and until the signal aborts. */
export function look(id: number, waitSeconds: number, signal: AbortSignal): Promise<Answer> {
	return answer(async () => {
		if (waitSeconds > 0)
			await faena
				.handle('countPrimes', id)
				.outcome({timeout: 1000 * Math.min(waitSeconds, 60), signal})
				.catch(unlessOver);
		const job = await faena.job<'countPrimes'>(id);
		if (!job) return {status: 404, body: {error: `There is no job ${id}.`}};
		const {status, result, error} = job;
		return {status: 200, body: {id, status, result, error: error?.message}};
	});
}

/** The job goes on, and the answer says how far it is. */
function unlessOver(error: unknown): void {
	const isOver = error instanceof FaenaError ? error.code === 'WaitTimeout' || error.code === 'NoSuchJob' : (error as Error).name === 'AbortError';
	if (!isOver) throw error;
}

async function answer(work: () => Promise<Answer>): Promise<Answer> {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof FaenaError)) throw error;
		const {code, message, retryAfterMs = 1000} = error;
		const status = STATUSES[code] ?? 500;
		const headers = status === 429 || status === 503 ? {'retry-after': String(Math.ceil(retryAfterMs / 1000))} : {};
		return {status, headers, body: {error: message, code}};
	}
}

/** The status for each code of a `FaenaError`. After 503 the client sends its request again, with the same key. */
const STATUSES: Readonly<Partial<Record<FaenaError['code'], number>>> = {
	...{BadOption: 400, KeyConflict: 409, TooLarge: 413, QueueFull: 429},
	...{Closed: 503, StorageFull: 503, DatabaseBusy: 503, OutcomeUnknown: 503},
};
