import {execFile} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {deserialize} from 'node:v8';
import {moduleUrl} from '../measure/module-url.ts';
import {observe} from '../measure/observe.ts';
import {Player, RECORDING, type Recording, type Step} from '../measure/recording.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/** A short one suffices: the recorded warm-up is repeated, too, and before that the whole recording. */
const RECORDED_WARM_UP_MS = 300;

/**
 * The ceiling of a lane: its own statements in better-sqlite3 alone. A process of its own runs the case with Faena and records the statements
 * of its dispatcher. This process repeats them in one thread: there is no pool and no caller, and nothing to decide. The clock runs over the
 * statements between the measured jobs' first enqueue and their last result.
 */
export async function replay(given: Case, surroundings: Surroundings): Promise<Measurement> {
	const place = mkdtempSync(join(surroundings.folder, 'faena-bench-'));
	try {
		const {recording, startMs, endMs} = await record(given, surroundings, join(place, 'recording'));
		const {before, within} = partsOf(recording.steps, startMs, endMs);
		await playOn(join(place, 'warm-up.db'), recording, async player => player.play([...before, ...within]));
		return await playOn(join(place, 'jobs.db'), recording, async player => {
			player.play(before);
			const observed = await observe(surroundings, async () => player.play(within));
			return {...observed, transactions: within.filter(({does}) => does === 'commit').length};
		});
	} finally {
		rmSync(place, {recursive: true});
	}
}

async function record(given: Case, {counter: _, ...surroundings}: Surroundings, file: string) {
	const own: Surroundings = {...surroundings, warmUpMs: Math.min(surroundings.warmUpMs, RECORDED_WARM_UP_MS)};
	const {stdout} = await promisify(execFile)(
		process.execPath,
		[
			'--import',
			moduleUrl('measure/record-statements').href,
			fileURLToPath(moduleUrl('one')),
			JSON.stringify({...given, subject: 'faena'}),
			JSON.stringify(own),
		],
		{env: {...process.env, [RECORDING]: file}},
	);
	const {startMs, wallMs} = JSON.parse(stdout) as Measurement;
	if (startMs === undefined) throw new Error(`The trial ${given.trial} does not say when its clock started`);
	return {recording: deserialize(readFileSync(file)) as Recording, startMs, endMs: startMs + wallMs};
}

/** Cuts at the first transactions that begin after these times. */
function partsOf(steps: readonly Step[], startMs: number, endMs: number) {
	const cutAt = (ms: number) => {
		const at = steps.findIndex(step => step.does === 'begin' && step.atMs >= ms);
		return at < 0 ? steps.length : at;
	};
	return {before: steps.slice(0, cutAt(startMs)), within: steps.slice(cutAt(startMs), cutAt(endMs))};
}

async function playOn<Result>(file: string, recording: Recording, use: (player: Player) => Promise<Result>): Promise<Result> {
	const player = new Player(file, recording);
	try {
		return await use(player);
	} finally {
		player.close();
	}
}
