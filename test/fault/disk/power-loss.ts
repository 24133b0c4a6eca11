import {createHash} from 'node:crypto';
import {mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {openStore} from '../../../lib/store/open-store.ts';
import {seeded} from '../../fixtures/random.ts';
import {type Call, Run} from './disk.ts';
import {Disk} from './lost-power.ts';
import {brokenAsFound, brokenPromises} from './promise.ts';

export interface Losses {
	/** Moments at which the power was lost: after each call of the run. */
	readonly moments: number;
	readonly states: number;
	/** Of these. */
	readonly different: number;
	/** Sentences, each with the moment and the state's number. */
	readonly broken: readonly string[];
}

/** All of a run's calls, in order. */
export async function record(folder: string, durability: 'full' | 'normal'): Promise<readonly Call[]> {
	const run = new Run(folder);
	const {stderr, hangs} = await run.take({record: true, durability});
	if (stderr || hangs) throw new Error(`The run to be recorded failed: ${stderr}`);
	return run.calls;
}

/** One state in so many is not only looked at, but worked with. */
const WORKED_WITH = 50;

/**
 * Loses power after each call so many times, each time otherwise, or, with a fraction, after so many of the calls, and holds what is left to what the
 * program had been told by then.
 */
export async function losePower(
	folder: string,
	calls: readonly Call[],
	{perMoment, seed}: {readonly perMoment: number; readonly seed: number},
): Promise<Losses> {
	const disk = new Disk();
	const told: string[] = [];
	const states = new Set<string>();
	const broken: string[] = [];
	let count = 0;
	for (const [moment, call] of calls.entries()) {
		disk.take(call);
		if (call.op === 'told') told.push(...call.data.toString().split('\n').filter(Boolean));
		const losses = Math.floor(perMoment + seeded(seed + moment)());
		for (let each = 0; each < losses; each++) {
			const files = disk.afterLoss(seeded(seed + moment * 1_000_003 + each));
			states.add(digest(files));
			const queue = lay(join(folder, 'left'), files, calls);
			const promises = await judge(queue, told, count++ % WORKED_WITH === 0);
			broken.push(...promises.map(promise => `${promise} (moment ${moment}, state ${each}, seed ${seed})`));
		}
	}
	return {moments: calls.length, states: count, different: states.size, broken};
}

async function judge(queue: string, told: readonly string[], isWorkedWith: boolean): Promise<string[]> {
	try {
		if (isWorkedWith) return await brokenPromises(queue, told);
		(await openStore(queue)).close();
		return [...brokenAsFound(queue, told)];
	} catch (error) {
		return [`It can't be opened any more: ${error}`];
	}
}

/** Writes the files down below the folder; what SQLite shares between processes is gone with them. Returns the database. */
function lay(folder: string, files: ReadonlyMap<string, Buffer>, calls: readonly Call[]): string {
	rmSync(folder, {recursive: true, force: true});
	mkdirSync(folder, {recursive: true});
	const database = calls.find(({op, path}) => op === 'create' && path.endsWith('.db'))?.path ?? '';
	const root = dirname(database);
	for (const [path, content] of files) {
		if (path.endsWith('-shm')) continue;
		const place = join(folder, path.slice(root.length));
		mkdirSync(dirname(place), {recursive: true});
		writeFileSync(place, content);
	}
	return join(folder, database.slice(root.length));
}

function digest(files: ReadonlyMap<string, Buffer>): string {
	const hash = createHash('sha1');
	for (const [path, content] of files) if (!path.endsWith('-shm')) hash.update(path).update(content);
	return hash.digest('base64');
}
