import type {Case, Durability, Intake} from '../plan/suite.ts';

/** Subjects as readers who don't know the suite can read them, in the order in which tables list them. */
const SUBJECTS: Readonly<Record<string, string>> = {
	faena: 'Faena',
	sqlite: 'better-sqlite3 alone (ceiling)',
	'bare-sqlite': 'a bare claim in SQLite',
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
	'bare-postgres': 'a bare claim in PostgreSQL',
};

export function labelOf(subject: string): string {
	return SUBJECTS[subject] ?? subject;
}

/** Where a table lists a subject; those without a label come last. */
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
	bulk: 'enqueued in one call',
	map: 'by a durable map()',
};

export type Lane = Pick<Case, 'durability' | 'intake'>;

export function laneLabel({durability, intake}: Lane): string {
	return `${durabilityLabel(durability)}; ${INTAKES[intake]}`;
}

export function durabilityLabel(durability: Durability): string {
	return DURABILITIES[durability];
}

/** As the options of Faena and of the suite name it. */
export function laneName({durability, intake}: Lane): string {
	return `${durability}, ${intake}`;
}

export function rankOfLane({durability, intake}: Lane): number {
	return Object.keys(DURABILITIES).indexOf(durability) * 10 + Object.keys(INTAKES).indexOf(intake);
}
