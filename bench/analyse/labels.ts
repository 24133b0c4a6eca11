import type {Case, Durability, Intake} from '../plan/suite.ts';

/** Names of the subjects for readers, in the order of the tables. */
const SUBJECTS: Readonly<Record<string, string>> = {
	faena: 'Faena',
	statements: 'the same statements in better-sqlite3 alone',
	// Until the commit 3b1cb5b.
	sqlite: 'statements of the suite’s own in better-sqlite3 alone',
	'bare-sqlite': 'bare statements in SQLite',
	ideal: 'Ideal: a bare loop in each thread',
	'piscina-chunks': 'Piscina, with Faena’s chunks',
	piscina: 'Piscina, one run() per job',
	tinypool: 'Tinypool, one run() per job',
	workerpool: 'workerpool, one exec() per job',
	plainjob: 'plainjob (SQLite)',
	liteque: 'liteque (SQLite)',
	sidequest: 'Sidequest (SQLite)',
	bullmq: 'BullMQ (Redis)',
	'bullmq-sandbox': 'BullMQ, sandboxed threads (Redis)',
	'graphile-worker': 'graphile-worker (PostgreSQL)',
	'pg-boss': 'pg-boss (PostgreSQL)',
	'faena-postgres': 'Faena (PostgreSQL)',
	'bare-postgres': 'bare statements in PostgreSQL',
};

export function labelOf(subject: string): string {
	return SUBJECTS[subject] ?? subject;
}

/** Position of a subject in tables. Subjects without a label come last. */
export function rankOf(subject: string): number {
	const rank = Object.keys(SUBJECTS).indexOf(subject);
	return rank < 0 ? Number.POSITIVE_INFINITY : rank;
}

const DURABILITIES: Readonly<Record<Durability, string>> = {
	full: 'jobs survive a loss of power',
	normal: 'jobs survive a crash of the process',
	memory: 'jobs survive nothing',
};

const INTAKES: Readonly<Record<Intake, string>> = {
	strict: 'each enqueue awaited before the next',
	default: 'enqueues awaited, 64 under way',
	call: 'results awaited, 64 calls under way',
	bulk: 'enqueued in one call',
	map: 'by a durable map()',
	'map-sorted-keys': 'by a durable map() with sorted keys',
	'map-random-keys': 'by a durable map() with random keys',
	keys: 'enqueued in one call, with keys',
	priorities: 'enqueued in one call, with three priorities',
	delays: 'enqueued in one call, each due up to 20 ms later',
	failures: 'enqueued in one call; one in a hundred fails, and is repeated at once',
	'two-tasks': 'enqueued in two calls at once, for two tasks',
	watched: 'enqueued in one call, while another caller awaits jobs one by one',
};

export type Lane = Pick<Case, 'durability' | 'intake'>;

export function laneLabel({durability, intake}: Lane): string {
	return `${durabilityLabel(durability)}; ${INTAKES[intake]}`;
}

export function durabilityLabel(durability: Durability): string {
	return DURABILITIES[durability];
}

/** The lane in the words of Faena's and the suite's options. */
export function laneName({durability, intake}: Lane): string {
	return `${durability}, ${intake}`;
}

export function rankOfLane({durability, intake}: Lane): number {
	return Object.keys(DURABILITIES).indexOf(durability) * 100 + Object.keys(INTAKES).indexOf(intake);
}
