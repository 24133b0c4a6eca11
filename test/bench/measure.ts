import {execFile} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import type {Case, Measurement, Surroundings} from '../../bench/plan/suite.ts';

const one = fileURLToPath(new URL('../../bench/one.ts', import.meta.url));

/** Takes a measurement as the suite does, in a fresh process; fsyncs are counted only if a counter is given. */
export async function measure(
	folder: string,
	{subject = 'faena', durability = 'full', intake = 'default', ...given}: Partial<Case> & Pick<Case, 'trial' | 'jobs'>,
	counter?: Surroundings['counter'],
): Promise<Measurement> {
	const whole: Case = {subject, durability, intake, task: 'identity', workMicros: 0, workers: 2, ...given};
	const surroundings: Surroundings = {
		roundsPerMicro: {identity: 0, spin: 2, sha256: 0.1, json: 0.1, wait: 1},
		folder,
		seed: 1,
		warmUpMs: 100,
		...(counter && {counter}),
	};
	const env = {...process.env, ...(counter && {LD_PRELOAD: counter.library, FAENA_BENCH_SYNCS: counter.file})};
	const {stdout} = await promisify(execFile)(process.execPath, [one, JSON.stringify(whole), JSON.stringify(surroundings)], {env});
	return JSON.parse(stdout) as Measurement;
}
