import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {type Engine, FaenaError, type JobOutcome, open} from '../../../lib/index.ts';
import {pick, seeded} from '../../fixtures/random.ts';
import {MaintenanceResult, type Result, type Round, seedsOf} from './round.ts';
import {difference} from './same.ts';
import {MAX_BYTES, type Specimen, specimen} from './specimens.ts';
import {ROLES, type Role} from './tasks.ts';

type Tasks = typeof import('./tasks.ts');

/** Mostly threads: processes and the program's own thread encode by the same code, and the latter has but one. */
const ISOLATIONS = ['thread', 'thread', 'thread', 'process', 'thread', 'thread', 'thread', 'inline'] as const;

/** Without an end for so long, the engine is stuck. */
const PATIENCE_MS = 120_000;

/** Specimens as payloads, results, checkpoints, logs, and thrown, in one engine, all at once. */
export async function fuzzValues(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	const faena = await open<Tasks>({
		queue: join(round.folder, 'jobs.db'),
		tasks: new URL('./tasks.ts', import.meta.url),
		isolation: ISOLATIONS[round.seed % ISOLATIONS.length] as (typeof ISOLATIONS)[number],
		workers: 2,
		maxValue: MAX_BYTES,
		maxCheckpoint: MAX_BYTES,
		taskOutput: 'stderr',
		durability: 'normal',
		defaults: {backoff: 0, maxAttempts: 1},
	});
	const tries = [...seedsOf(round)].map(async seed => {
		const random = seeded(seed);
		const role = pick(random, ['payload', ...ROLES] as const);
		const complaint = await tryOne(faena, role, seed).catch((error: unknown) => `it ended with ${describe(error)}`);
		if (complaint === undefined) findings.count(role);
		else findings.complain(`specimen ${seed} as ${role}`, complaint);
	});
	const isDone = await Promise.race([Promise.all(tries).then(() => true), sleep(PATIENCE_MS, false, {ref: false})]);
	if (!isDone) findings.complain(`round ${round.seed}`, `jobs don't end: ${JSON.stringify(await faena.counts())}`);
	await faena.close({drain: 0});
	return findings;
}

/** What is wrong with what became of it. */
async function tryOne(faena: Engine<Tasks>, role: Role | 'payload', seed: number): Promise<string | undefined> {
	const given = specimen(seeded(seed));
	if (role === 'payload') return tryPayload(faena, given, seed);
	const maxAttempts = role === 'checkpoint' ? 2 : 1;
	const outcome = await (await faena.enqueue('perform', {seed, role}, {maxAttempts})).outcome();
	if (role === 'thrown' || role === 'rejected') return complaintOfThrown(outcome, given);
	if (role === 'cause') return complaintOfThrown(outcome, {value: undefined, back: new Error('outer')});
	if (role === 'logged') return outcome.status === 'completed' ? undefined : complaintOfThrown(outcome, given);
	if ('refused' in given) return complaintOfRefused(outcome, given);
	if (role !== 'made') return complaintOfReturned(outcome, given);
	if (outcome.status !== 'completed') return complaintOfReturned(outcome, given);
	const made = await faena.enqueue('echo', given.value, {key: String(seed)});
	return made.reused ? complaintOfReturned(await made.outcome(), given) : 'the job that it made is not there';
}

async function tryPayload(faena: Engine<Tasks>, given: Specimen, seed: number): Promise<string | undefined> {
	const options = {key: `payload ${seed}`};
	const job = await faena.enqueue('echo', given.value, options).catch((error: unknown) => error);
	if ('refused' in given) {
		if (!(job instanceof FaenaError) || job.code !== given.refused) return `it should be refused as ${given.refused}: ${describe(job)}`;
		// Nothing of it was stored: the key is free for another payload.
		return (await faena.enqueue('echo', 'another', options)).reused ? 'it was refused and stored' : undefined;
	}
	if (job instanceof Error) return `it was refused: ${describe(job)}`;
	return complaintOfReturned(await (job as Awaited<ReturnType<typeof faena.enqueue>>).outcome(), given);
}

function complaintOfReturned(outcome: JobOutcome, given: Specimen): string | undefined {
	if (outcome.status !== 'completed') return `it is ${outcome.status}: ${describe(outcome.error)}`;
	const found = difference(outcome.result, 'back' in given ? given.back : undefined);
	return found === undefined ? undefined : `it came back with another ${found}`;
}

function complaintOfRefused(outcome: JobOutcome, {refused}: {readonly refused: string}): string | undefined {
	if (outcome.status !== 'dead') return `it is ${outcome.status}, and should be refused as ${refused}`;
	const {code, cause} = outcome.error as {code?: unknown; cause?: unknown};
	// Where reading `then` of it throws, that is an error of the task.
	const isThen = (outcome.error as {reason?: unknown}).reason === 'threw' && cause === undefined && code === undefined;
	return code === refused || isThen ? complaintOfError(outcome.error) : `it should be refused as ${refused}: ${describe(outcome.error)}`;
}

function complaintOfThrown(outcome: JobOutcome, given: Specimen): string | undefined {
	if (outcome.status !== 'dead') return `it is ${outcome.status}, and should be dead`;
	const thrown = 'back' in given ? given.back : undefined;
	if (thrown instanceof Error && thrown.message !== outcome.error.message) return `its message is another: ${describe(outcome.error)}`;
	const {reason} = outcome.error as {reason?: unknown};
	return reason === 'threw' ? complaintOfError(outcome.error) : `its reason is ${String(reason)}: ${describe(outcome.error)}`;
}

function complaintOfError(error: Error): string | undefined {
	const isReadable = error instanceof Error && typeof error.message === 'string' && typeof error.name === 'string' && error.name !== '';
	return isReadable ? undefined : `its error can't be read: ${describe(error)}`;
}

function describe(error: unknown): string {
	return error instanceof Error ? `${error.name} ${(error as {code?: unknown}).code}: ${error.message}` : typeof error;
}
