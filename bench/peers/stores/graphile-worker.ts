import {Logger, makeWorkerUtils, type TaskList} from 'graphile-worker';
import {nanoid} from 'nanoid';
import type {Claimed, StoreSubject} from '../../stores/store.ts';
import {createDatabase} from '../subjects/database.ts';

const TASKS: TaskList = {bench: () => {}};
const FILL_BATCH = 5000;
const SILENT = new Logger(() => () => {});

interface Row {
	readonly id: string;
	readonly job_queue_id: number | null;
	readonly payload: {readonly number: number};
}

/** The functions by which graphile-worker's worker gets and completes jobs. There are no public ones. */
const {getUtilsAndReleasersFromOptions} = await internal<{
	getUtilsAndReleasersFromOptions(options: object): Promise<[context: {withPgClient: unknown}, release: () => Promise<void>]>;
}>('lib');
const {batchGetJobs} = await internal<{
	batchGetJobs(context: unknown, client: unknown, tasks: TaskList, pool: string, flags: null, size: number): Promise<Row[]>;
}>('sql/getJobs');
const {batchCompleteJobs} = await internal<{
	batchCompleteJobs(context: unknown, client: unknown, pool: string, jobs: unknown): Promise<void>;
}>('sql/completeJobs');

/** graphile-worker's own statements. Each contender has a connection for them, and one that adds jobs. */
export const store: StoreSubject = {
	async create(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		const utils = await makeWorkerUtils({preset: {worker: {connectionString: database.url, maxPoolSize: 2, logger: SILENT}}});
		await utils.migrate();
		return {
			address: database.url,
			async fill(first, end) {
				for (let at = first; at < end; at += FILL_BATCH) await utils.addJobs(jobs(at, Math.min(at + FILL_BATCH, end)));
			},
			prepare: database.vacuum,
			async ready() {
				const {rows} = await database.client.query('select count(*)::int as ready from graphile_worker._private_jobs where locked_at is null');
				return rows[0].ready as number;
			},
			async close() {
				await utils.release();
				await database.drop();
			},
		};
	},
	async connect(address) {
		const [context, release] = await getUtilsAndReleasersFromOptions({
			preset: {worker: {connectionString: address, maxPoolSize: 1, logger: SILENT}},
		});
		const utils = await makeWorkerUtils({preset: {worker: {connectionString: address, maxPoolSize: 1, logger: SILENT}}});
		const pool = nanoid();
		return {
			add: (first, end) => (end - first === 1 ? utils.addJob('bench', {number: first}) : utils.addJobs(jobs(first, end))),
			async claim(most): Promise<Claimed> {
				const jobs = await batchGetJobs(context, context.withPgClient, TASKS, pool, null, most);
				return {numbers: jobs.map(({payload}) => payload.number), handle: jobs};
			},
			complete: ({handle}) => batchCompleteJobs(context, context.withPgClient, pool, handle),
			async close() {
				await utils.release();
				release();
			},
		};
	},
};

function jobs(first: number, end: number): {identifier: string; payload: {number: number}}[] {
	return Array.from({length: end - first}, (_, index) => ({identifier: 'bench', payload: {number: first + index}}));
}

async function internal<Module>(name: string): Promise<Module> {
	return (await import(new URL(`./${name}.js`, import.meta.resolve('graphile-worker')).href)) as Module;
}
