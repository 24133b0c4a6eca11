import {bad} from '../../job/checks.ts';
import type {NewJob} from '../../job/new-job.ts';
import {defined} from '../../support/defined.ts';
import {FaenaError} from '../../support/errors.ts';
import {keyConflict} from '../conflict-errors.ts';
import type {PostgresTransaction} from '../postgres-client.ts';
import type {Enqueued} from '../queue-input.ts';
import {specOf} from '../stored-json.ts';
import {assertSize} from './connection/call-values.ts';
import {KEY_CONFLICT, QUEUE_MOVED} from './connection/error-codes.ts';
import {codeOf} from './connection/postgres-errors.ts';

/**
 * Enqueues one job in the transaction of a program.
 * @throws FaenaError `KeyConflict`; `TooLarge`; `BadDatabase` if the schema does not exist. PostgreSQL then refuses all other statements of the transaction
 */
export async function enqueueInTransaction(transaction: PostgresTransaction, schema: string, job: NewJob): Promise<Enqueued> {
	const {task, scope, payload, policy, priority, key, unique, delayMs, runAt, expiresMs, parents} = job;
	if (parents) throw bad('enqueueIn() takes no dependsOn on PostgreSQL; enqueue such a job by enqueue() after the commit');
	assertSize(payload);
	const own = {task, priority, policy: specOf(policy), ...defined({scope, key, unique, delay: delayMs, runAt: runAt ?? undefined, expires: expiresMs})};
	const bytes = payload instanceof Uint8Array ? Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) : null;
	const values = [JSON.stringify(own), typeof payload === 'string' ? payload : null, bytes];
	try {
		const name = `"${schema.replaceAll('"', '""')}"`;
		const {rows} = await transaction.query(`select id::text, reused from ${name}.enqueue_job($1::jsonb, $2::text, $3::bytea)`, values);
		const {id, reused} = rows[0] as {readonly id: string; readonly reused: boolean};
		return {id: Number(id), reused};
	} catch (error) {
		const code = codeOf(error);
		if (code === KEY_CONFLICT) throw keyConflict({task, key: key as string}, Number((error as {readonly detail?: string}).detail));
		if (code === '3F000' || code === '42883') {
			const message = `The database has no queue in the schema ${schema}. Open it once, by open() or openQueue(), before enqueueIn() (${code}).`;
			throw new FaenaError('BadDatabase', message, {cause: error});
		}
		if (code === QUEUE_MOVED) throw new FaenaError('QueueMoved', (error as Error).message, {cause: error});
		if (code === '54000') throw new FaenaError('TooLarge', `The job can't be enqueued: ${(error as Error).message}. Choose a shorter key.`, {cause: error});
		throw error;
	}
}
