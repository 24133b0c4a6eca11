/** What both servers do with a request, whatever the framework. */
import {FaenaError, open} from 'faena';

const tasks = new URL('./tasks.ts', import.meta.url);
export const faena = await open<typeof import('./tasks.ts')>({queue: 'http.db', tasks});

export interface Answer {
	readonly status: number;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body: object;
}

/** `POST /jobs`: 202 once the job is on the disk. The same key again gives the same job. */
export async function accept(body: unknown, key: string | undefined): Promise<Answer> {
	const {below} = Object(body) as {readonly below?: unknown};
	if (!isInteger(below) || below < 2 || below > 1e8) throw httpError(400, 'below: a number from 2 to 1e8');
	const {id} = await faena.enqueue('countPrimes', {below}, {expires: '1h', ...(key !== undefined && {key})});
	return {status: 202, headers: {location: `/jobs/${id}`}, body: {id}};
}

/** `GET /jobs/1?wait=10`: the state of a job, once it ends, the seconds are over or the signal aborts. */
export async function look(id: number, waitSeconds: number, signal: AbortSignal): Promise<Answer> {
	const timeout = 1000 * Math.min(waitSeconds, 60);
	if (timeout > 0) await faena.job<'countPrimes'>(id).outcome({timeout, signal}).catch(unlessOver);
	return stateOf(id);
}

/** `PATCH /jobs/1`: another priority, if the job has not started. */
export async function change(id: number, body: unknown): Promise<Answer> {
	const {priority} = Object(body) as {readonly priority?: unknown};
	if (!isInteger(priority)) throw httpError(400, 'priority: a whole number');
	try {
		if (!(await faena.job(id).edit({priority}))) throw httpError(409, `Job ${id} runs, or has ended.`);
	} catch (error) {
		unlessOver(error);
	}
	return stateOf(id);
}

/** `DELETE /jobs/1`: cancels the job. A running one stops a little later; one that has ended stays as it is. */
export async function cancel(id: number): Promise<Answer> {
	await faena.cancel(id);
	return stateOf(id);
}

async function stateOf(id: number): Promise<Answer> {
	const job = await faena.job<'countPrimes'>(id).info();
	if (!job) throw httpError(404, `There is no job ${id}.`);
	const {status, progress, result, error} = job;
	if (status === 'completed') return {status: 200, body: {id, status, result}};
	return {status: 200, body: {id, status, progress, error: error?.message}};
}

function isInteger(value: unknown): value is number {
	return Number.isSafeInteger(value);
}

/** The job goes on, and the answer says how far it is. */
function unlessOver(error: unknown): void {
	const {name, code} = error as FaenaError;
	if (code !== 'WaitTimeout' && code !== 'NoSuchJob' && name !== 'AbortError') throw error;
}

/** An error with the status of its answer, in Fastify's form. */
export function httpError(statusCode: number, message: string): Error {
	return Object.assign(new Error(message), {statusCode});
}

/** The answer to a request that failed. */
export function refusal(error: unknown): Answer {
	const {code, message, statusCode, retryAfterMs = 1000} = error as FaenaError & {readonly statusCode?: number};
	const status = (error instanceof FaenaError ? STATUSES[code] : statusCode) ?? 500;
	if (status === 500) console.error(error);
	const headers: Record<string, string> = {};
	if (status === 429 || status === 503) headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000));
	return {status, headers, body: status === 500 ? {error: 'internal error'} : {error: message, code}};
}

/** The status for each code of a `FaenaError`. After 503 the client sends its request again, with the same key. */
const STATUSES: Readonly<Partial<Record<FaenaError['code'], number>>> = {
	...{BadOption: 400, InvalidPayload: 400, NotEncodable: 400, KeyConflict: 409, TooLarge: 413, QueueFull: 429},
	...{Closed: 503, StorageFull: 503, DatabaseBusy: 503, OutcomeUnknown: 503},
};
