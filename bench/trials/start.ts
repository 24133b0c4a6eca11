import {execFileSync, fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {median} from '../analyse/statistics.ts';
import {sharedMs} from '../measure/clock.ts';
import {withFile} from '../measure/file.ts';
import {moduleUrl} from '../measure/module-url.ts';
import {observe} from '../measure/observe.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/** The phases of a process that opens an engine, in milliseconds. */
export type Phases = Readonly<Record<'importMs' | 'openMs' | 'callMs', number>>;

/** Measures, in processes of their own, how long it takes from the first line to the first result, and how long `faena status` takes. Medians of `jobs` processes. */
export async function start(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withFile(surroundings, async file => {
		const phases: Phases[] = [];
		const bareNodeMs: number[] = [];
		const statusMs: number[] = [];
		const observed = await observe(surroundings, async () => {
			for (let round = 0; round < given.jobs; round++) {
				phases.push(await firstCall(file, given));
				bareNodeMs.push(timeOf(['-e', '0']));
				statusMs.push(timeOf([fileURLToPath(moduleUrl('../lib/cli/main')), 'status', '--queue', file]));
			}
		});
		const of = (name: keyof Phases) => median(phases.map(each => each[name]));
		const firstResultMs = median(phases.map(({importMs, openMs, callMs}) => importMs + openMs + callMs));
		const status = median(statusMs) - median(bareNodeMs);
		return {...observed, figures: {importMs: of('importMs'), openMs: of('openMs'), callMs: of('callMs'), firstResultMs, statusBeyondNodeMs: status}};
	});
}

function timeOf(args: readonly string[]): number {
	const startMs = sharedMs();
	execFileSync(process.execPath, args);
	return sharedMs() - startMs;
}

function firstCall(file: string, given: Case): Promise<Phases> {
	return new Promise((resolve, reject) => {
		const program = fork(fileURLToPath(moduleUrl('trials/first-call')), [file, JSON.stringify(given)]);
		let phases: Phases | undefined;
		program.once('message', message => {
			phases = message as Phases;
		});
		program.once('exit', code => (phases && code === 0 ? resolve(phases) : reject(new Error(`The process that was to call once ended with ${code}`))));
	});
}
