import Database from 'better-sqlite3';
import {makeContents, refuseUnlessSame} from '../measure/contents.ts';
import {withEngine} from '../measure/engine.ts';
import {observe} from '../measure/observe.ts';
import {RECORDED} from '../measure/recorded.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';
import {inLanes} from '../subjects/lanes.ts';
import {makePiscina, PER_WORKER} from '../subjects/piscina.ts';
import {replay} from './replay.ts';

/** Sends values to the task `echo` and returns its results. */
type Echo = (contents: readonly Content[]) => Promise<readonly unknown[]>;
type Content = Uint8Array | string;

/** Calls `use` with a subject's echo, and returns the measurement. */
type Echoing = (given: Case, surroundings: Surroundings, use: (echo: Echo) => Promise<Measurement>) => Promise<Measurement>;

const ECHOING: Readonly<Record<string, Echoing>> = {faena: byFaena, piscina: byPiscina};

/** The warm-up sends the case's values, at most this many bytes of them. */
const WARM_UP_BYTES = 16e6;

/**
 * Measures values of `vary.bytes` bytes, binary (`vary.binary` 1) or text (0), on their way to a task that returns them, and back. With
 * `vary.blobs`, results of more than that many bytes are files.
 */
export async function payloads(given: Case, surroundings: Surroundings): Promise<Measurement> {
	if (given.subject === 'statements') return replay(given, surroundings);
	const {bytes, binary} = given.vary ?? {};
	if (bytes === undefined || bytes < 10 || binary === undefined) throw new Error('The trial payloads expects vary.bytes, at least 10, and vary.binary, 0 or 1');
	const echoing = ECHOING[given.subject];
	if (!echoing) throw new Error(`The trial payloads is for ${[...Object.keys(ECHOING), 'statements'].join(', ')}; it got ${given.subject}`);
	const contents = makeContents(given.jobs, bytes, binary === 1, surroundings.seed);
	return echoing(given, surroundings, async echo => {
		const warmUp = contents.slice(0, Math.ceil(WARM_UP_BYTES / bytes));
		refuseUnlessSame(warmUp, await echo(warmUp));
		let returned: readonly unknown[] = [];
		const observed = await observe(surroundings, async () => {
			returned = await echo(contents);
		});
		refuseUnlessSame(contents, returned);
		return {...observed, figures: {megabytesPerSecondEachWay: (given.jobs * bytes) / 1e6 / (observed.wallMs / 1000)}};
	});
}

/** Echoes by a durable map: the caller gets the results, and they stay in the file. */
async function byFaena(given: Case, surroundings: Surroundings, use: (echo: Echo) => Promise<Measurement>): Promise<Measurement> {
	const {blobs} = given.vary ?? {};
	const options = blobs === undefined ? {} : {blobs: {threshold: blobs}};
	return withEngine(
		given,
		surroundings,
		async (faena, {queue: file}) => {
			let [maps, sent] = [0, 0];
			const measurement = await use(async contents => {
				const returned: unknown[] = [];
				sent += contents.length;
				for await (const item of faena.map('echo', contents, {batch: `${++maps}`})) {
					if (item.status !== 'completed') throw new Error(`An item is ${item.status}`);
					if (item.index in returned) throw new Error(`Item ${item.index} was given twice`);
					returned[item.index] = item.result;
				}
				return returned;
			});
			refuseUnlessRecorded(file, sent);
			const {commits, chunks} = await faena.stats();
			return {...measurement, transactions: commits.count, meanChunk: chunks.meanJobs};
		},
		options,
	);
}

function refuseUnlessRecorded(file: string, jobs: number): void {
	const database = new Database(file, {readonly: true});
	// Not by their first execution alone: on a loaded machine, those that wait behind a large one are given back, and claimed again.
	const recorded = database.prepare(`select count(*) from ${RECORDED}`).pluck().get();
	database.close();
	if (recorded !== jobs) throw new Error(`${recorded} jobs completed; expected were ${jobs}`);
}

/** Echoes by one `run()` per job. */
async function byPiscina({workers}: Case, _: Surroundings, use: (echo: Echo) => Promise<Measurement>): Promise<Measurement> {
	const pool = makePiscina(workers, PER_WORKER);
	try {
		return await use(async contents => {
			const returned: unknown[] = [];
			const numbers = contents.map((_, number) => number);
			await inLanes(numbers, workers * PER_WORKER, async (number: number) => {
				if (number in returned) throw new Error(`Item ${number} was given twice`);
				returned[number] = await pool.run({task: 'echo', payload: contents[number]});
			});
			return returned;
		});
	} finally {
		await pool.destroy();
	}
}
