import {type OutcomeBuffer, simulate} from './world.ts';

/** Events until a world comes to rest, and another one begins. */
const EVENTS_PER_WORLD = 20_000;

/** What happened in some worlds, all taken together. */
export interface Figures extends Pick<OutcomeBuffer, 'events' | 'jobs' | 'executions' | 'takenBack'> {
	/** Of the first; each has the next. */
	readonly seed: number;
	readonly worlds: number;
	readonly simulatedSeconds: number;
	readonly kinds: Readonly<Record<string, number>>;
	readonly faults: Readonly<Record<string, number>>;
}

/** Worlds from that seed on, until there were so many events or a law was broken: `broken` then tells which, what happened before, and how to see it again. */
export async function runWorlds(
	seed: number,
	events: number,
	onLine?: (line: string) => void,
): Promise<{readonly figures: Figures; readonly broken?: string | undefined}> {
	const reports: OutcomeBuffer[] = [];
	let happened = 0;
	while (happened < events) {
		const report = await simulate(seed + reports.length, EVENTS_PER_WORLD, onLine);
		reports.push(report);
		happened += report.events;
		if (report.broken !== undefined) break;
	}
	const last = reports.at(-1);
	return {figures: figuresOf(reports, seed), broken: last?.broken && describeBroken(last, seed + reports.length - 1)};
}

function describeBroken({lastLines = [], broken}: OutcomeBuffer, seed: number): string {
	return `${lastLines.join('\n')}\n\nBroken: ${broken}\nAgain: npm run simulate -- --seed ${seed} --events 1`;
}

function figuresOf(reports: readonly OutcomeBuffer[], seed: number): Figures {
	const sum = (of: (report: OutcomeBuffer) => number) => reports.reduce((total, report) => total + of(report), 0);
	const byName = (of: (report: OutcomeBuffer) => Readonly<Record<string, number>>) =>
		Object.fromEntries([...new Set(reports.flatMap(report => Object.keys(of(report))))].map(name => [name, sum(report => of(report)[name] ?? 0)]));
	return {
		seed,
		worlds: reports.length,
		events: sum(({events}) => events),
		kinds: byName(({counts}) => counts),
		faults: byName(({faults}) => faults),
		jobs: sum(({jobs}) => jobs),
		executions: sum(({executions}) => executions),
		takenBack: sum(({takenBack}) => takenBack),
		simulatedSeconds: Math.round(sum(({simulatedMs}) => simulatedMs) / 1000),
	};
}
