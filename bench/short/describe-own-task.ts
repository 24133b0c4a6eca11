import {show, showMicros, showPercent} from '../analyse/numbers.ts';
import {MAX_OTHERS_SHARE, type OwnTaskFigures, type WorkersFigures} from './own-task.ts';

/** The figures as lines, a table and advice, for a terminal. */
export function describeOwnTask(name: string, figures: OwnTaskFigures): string {
	const {inputs, jobMs, cpuShare, costMs, byWorkers, fullBesideNormal} = figures;
	const lines = [
		['a job takes, median', showMs(jobMs.p50)],
		['mean', showMs(jobMs.mean)],
		['95 of 100 jobs take at most', showMs(jobMs.p95)],
		...(cpuShare === undefined ? [] : [['of its time a job is on a processor', showPercent(cpuShare)]]),
		...(costMs === undefined ? [] : [['CPU time that Faena takes for a job beside it', showMs(costMs)]]),
		['rate with durability full beside normal', showPercent(fullBesideNormal)],
	] as [string, string][];
	const width = Math.max(...lines.map(([what]) => what.length));
	return `${[
		`${name}, ${inputs === 1 ? '1 input' : `${inputs.toLocaleString('en')} inputs`}, one in each job`,
		'',
		...lines.map(([what, value]) => `  ${what.padEnd(width)}  ${value}`),
		'',
		...tableOf(byWorkers),
		'',
		...adviceOn(figures),
	].join('\n')}\n`;
}

function tableOf(byWorkers: readonly WorkersFigures[]): string[] {
	const one = byWorkers[0]?.jobsPerSecond ?? 1;
	const rows = byWorkers.map(({workers, jobsPerSecond, inTask}) => [show(workers), show(jobsPerSecond), `${show(jobsPerSecond / one)} ×`, showPercent(inTask)]);
	const all = [['workers', 'jobs/s', 'beside one worker', 'time in the task'], ...rows];
	const widths = (all[0] as string[]).map((_, column) => Math.max(...all.map(row => (row[column] as string).length)));
	return all.map(row => `  ${row.map((cell, column) => cell.padStart(widths[column] as number)).join('   ')}`);
}

function adviceOn({enoughWorkers, inputsInJob, jobMs, cpuShare, byWorkers, fullBesideNormal, othersShare}: OwnTaskFigures): string[] {
	if (othersShare > MAX_OTHERS_SHARE)
		return [`Other programs took ${showPercent(othersShare)} of the processors meanwhile, so these figures say little. Repeat this when the machine is quiet.`];
	const most = byWorkers.at(-1)?.workers ?? 1;
	const isWaiting = (cpuShare ?? 1) < 0.8;
	return [
		inputsInJob === 1
			? 'The jobs are large enough: the workers spend at least 95 % of their time in the task.'
			: `The jobs are small: of ${showMs(jobMs.mean)} each, about ${inputsInJob.toLocaleString('en')} inputs in one job would have the workers spend 95 % of their time in the task (derived). A plain loop may be enough.`,
		enoughWorkers < most
			? `${enoughWorkers === 1 ? 'One worker is' : `${enoughWorkers} workers are`} enough: more gain less than 5 %.`
			: `Up to ${most} workers pay${isWaiting ? '; more were not measured' : ''}.`,
		...(isWaiting ? ['The task waits for a part of its time, so more workers than processors were measured, too.'] : []),
		fullBesideNormal < 0.95
			? 'With durability normal it would be faster: jobs then survive a crash of the process, but the last ones may be repeated after a loss of power.'
			: 'To survive a loss of power costs less than 5 % here.',
	];
}

function showMs(ms: number): string {
	return showMicros(ms * 1000);
}
