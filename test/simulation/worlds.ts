import {type Report, simulate} from './world.ts';

/** Events until a world comes to rest, and another one begins. */
const EVENTS_PER_WORLD = 20_000;

/** Worlds from that seed on, each from the next, until there were so many events or a law was broken. */
export async function runWorlds(
	seed: number,
	events: number,
	onLine?: (line: string) => void,
): Promise<{readonly isBroken: boolean; readonly events: number; readonly text: string}> {
	const reports: Report[] = [];
	let happened = 0;
	while (happened < events) {
		const report = await simulate(seed + reports.length, EVENTS_PER_WORLD, onLine);
		reports.push(report);
		happened += report.events;
		if (report.broken !== undefined) return {isBroken: true, events: happened, text: describeBroken(report, seed + reports.length - 1, happened)};
	}
	return {isBroken: false, events: happened, text: describe(reports, seed)};
}

function describeBroken({lastLines = [], broken}: Report, seed: number, happened: number): string {
	return `${lastLines.join('\n')}\n\nBroken, after ${happened} events in all: ${broken}\nAgain: npm run simulate -- --seed ${seed} --events 1`;
}

function describe(reports: readonly Report[], seed: number): string {
	const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
	const byName = (of: (report: Report) => Readonly<Record<string, number>>) =>
		[...new Set(reports.flatMap(report => Object.keys(of(report))))].map(name => `${sum(report => of(report)[name] ?? 0)} ${name}`).join(', ');
	return [
		`${sum(({events}) => events)} events in ${reports.length} worlds, seeds ${seed} to ${seed + reports.length - 1}: ${byName(({counts}) => counts)}`,
		`${(sum(({simulatedMs}) => simulatedMs) / 1000).toFixed(0)} s of simulated time, ${sum(({jobs}) => jobs)} jobs, ${sum(({executions}) => executions)} executions, ${sum(({takenBack}) => takenBack)} claims taken back`,
		`faults: ${byName(({faults}) => faults)}`,
		'No law was broken.',
	].join('\n');
}
