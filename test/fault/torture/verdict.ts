import {readFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import Database from 'better-sqlite3';
import {nameIn} from '../../../lib/store/task-number.ts';
import {makeEveryJob, outcomesOf} from '../../fixtures/stored.ts';
import {brokenLaws} from '../laws.ts';
import type {Evidence, Life} from './campaign.ts';
import {childOf, type Payload, type Step, type Told, tokenOf, type What} from './history.ts';

/** As the database has it in the end. */
interface EndedJob {
	readonly id: number;
	readonly task: string;
	readonly token: string;
	readonly batch: string | null;
	readonly status: 'completed' | 'dead' | 'cancelled' | null;
	readonly execution: number;
	readonly attempts: number;
	readonly suspicions: number;
	readonly value: string | undefined;
	/** It is of a flow that a program was killed in enqueuing, and no other has enqueued. */
	readonly isHeld: boolean;
	/** An earlier map has left it, and no later one has named it. */
	readonly isLeft: boolean;
	/** The tokens of its parents in a flow. */
	readonly of: readonly string[] | undefined;
}

interface Case extends Evidence {
	readonly jobs: readonly EndedJob[];
	readonly jobById: ReadonlyMap<number, EndedJob>;
	readonly stepsById: ReadonlyMap<number, readonly Step[]>;
	readonly retried: ReadonlySet<number>;
}

/** What must be true in the end. Each function returns the evidence against its law. */
export const LAWS: Readonly<Record<string, (given: Case) => readonly unknown[]>> = {
	'programs end only as they are told to': ({lives}) =>
		lives.filter(({by, end: {code, signal}}) =>
			by === undefined || by === 'close' ? code !== 0 : code !== 0 && !['SIGKILL', 'SIGTERM', 'SIGINT'].includes(signal as string),
		),
	'a program that exits with 0 has printed no error': ({lives}) => lives.filter(({end, stderr}) => end.code === 0 && stderr !== ''),
	'no program waits for an answer while others get thousands': given => (isSuspending(given) ? [] : overtaken(given).filter(({by}) => by > MOST_OVERTAKEN)),
	'no transaction fails, however many programs write': given => told(given, 'warned').filter(({message}) => message.startsWith('transaction failed')),
	'every job ends': ({jobs}) => jobs.filter(({status, isHeld, isLeft}) => status === null && !isHeld && !isLeft),
	'no job of a flow runs that was not enqueued wholly': ({jobs, stepsById}) => jobs.filter(({id, isHeld}) => isHeld && stepsById.has(id)),
	'an acknowledged job is there, unless it ended and was cleaned up': given =>
		told(given, 'enqueued').flatMap(({ids, tokens}) =>
			[...ids.entries()].filter(([index, id]) => given.jobById.get(id)?.token !== tokens[index] && !mayBeCleaned(given, id, tokens[index])).map(([, id]) => id),
		),
	'every job was enqueued': ({jobs, ...given}) => {
		const tried = new Set(told(given, 'try').flatMap(({tokens}) => tokens));
		const made = new Set(given.steps.filter(({step, task}) => step === 'returns' && task === 'make').map(({payload}) => childOf(payload.token)));
		return jobs.filter(({token, task}) => !tried.has(token) && !made.has(token) && !['batchCompleted', 'second', 'moment'].includes(task));
	},
	'no job is there twice': ({jobs}) => [...Map.groupBy(jobs, ({token}) => token)].filter(([, same]) => same.length > 1),
	"an execution's number is used once": ({stepsById}) =>
		[...stepsById].filter(([, steps]) => new Set(starts(steps).map(({execution}) => execution)).size < starts(steps).length),
	"an execution's number is higher than those before": given =>
		isSuspending(given)
			? []
			: [...given.stepsById].filter(([, steps]) => starts(steps).some(({execution}, index, all) => execution < (all[index - 1]?.execution ?? 0))),
	'executions of one job never overlap': given => (isSuspending(given) ? [] : [...given.stepsById.values()].filter(steps => overlaps(given, steps))),
	'a completed job has the result that its execution returned': ({jobs, stepsById}) =>
		jobs.filter(
			({id, status, execution, value}) =>
				status === 'completed' && stepsById.get(id)?.find(step => step.execution === execution && step.step === 'returns')?.value !== value,
		),
	'a reported end stays, and the job is not executed after it': given =>
		[...told(given, 'ended'), ...told(given, 'item')].filter(({id, at, status, value}) => {
			if (given.retried.has(id)) return false;
			const job = given.jobById.get(id);
			const differs = job ? job.status !== status || job.value !== value : !given.campaign.cleans;
			return differs || (!isSuspending(given) && starts(given.stepsById.get(id) ?? []).some(start => start.at > at));
		}),
	'an item of a batch is yielded the same each time': given =>
		[...Map.groupBy(told(given, 'item'), ({batch, key}) => `${batch} ${key}`).values()].filter(
			same => !given.campaign.cleans && new Set(same.map(({id, status, value}) => JSON.stringify([id, status, value]))).size > 1,
		),
	'attempts are charged only for what the job did': ({jobs, stepsById}) =>
		jobs.filter(
			({id, task, attempts}) =>
				attempts > (task === 'command' ? 1 : 0) + (stepsById.get(id) ?? []).filter(({step}) => step === 'throws' || step === 'exits').length,
		),
	'a job dies only of its own failures': ({jobs, stepsById}) =>
		jobs.filter(
			({id, task, status}) =>
				status === 'dead' && task !== 'command' && (stepsById.get(id) ?? []).filter(({step}) => step === 'throws' || step === 'exits').length < 3,
		),
	'when a job was stopped none of its commands runs on': given =>
		told(given, 'stopped').filter(({left, at}) => left.some(({steps}) => !mayHaveLeft(given, steps, at))),
	'no command outlives the program whose child process ran it': ({campaign, lives}) =>
		campaign.isolation === 'process' ? lives.filter(({commandsLeft}) => commandsLeft.length > 0) : [],
	'no job starts before its time': ({steps, retried}) =>
		steps.filter(({step, wall, payload, id}) => step === 'start' && !retried.has(id) && wall < (payload.notBefore ?? 0)),
	'a job goes on from a checkpoint of an earlier execution of its own': ({steps}) =>
		steps.filter(({from, execution}) => from !== undefined && from >= execution),
	'a job that was cancelled before it ran does not start': given =>
		told(given, 'cancelled').filter(
			({id, at}) =>
				hearsAtOnce(given) &&
				!given.retried.has(id) &&
				given.jobById.get(id)?.status === 'cancelled' &&
				starts(given.stepsById.get(id) ?? []).some(start => start.at > at),
		),
	'no job of a paused task starts': given => (hearsAtOnce(given) ? startsWhilePaused(given) : []),
	'a completed job has enqueued its child job, once': given =>
		given.jobs.filter(
			({id, task, token, status}) =>
				task === 'make' &&
				status === 'completed' &&
				!given.campaign.cleans &&
				given.jobs.filter(job => job.token === childOf(token)).length !== 1 &&
				!given.retried.has(id),
		),
	'a child job is there only if its parent completed': given => {
		const makers = new Map(given.jobs.filter(({task}) => task === 'make').map(job => [childOf(job.token), job]));
		return given.jobs.filter(({token}) => {
			const maker = makers.get(token);
			return maker && maker.status !== 'completed' && !given.retried.has(maker.id);
		});
	},
	'a completed batch has enqueued its job, once': given =>
		given.campaign.cleans
			? []
			: told(given, 'mapped').filter(({slot, batch}) => given.jobs.filter(({token}) => token === `batch${slot}.${batch}/completed`).length !== 1),
	'no child starts before its parents have returned, and it gets what they returned': ({steps}) => {
		// The first time: a flow that has ended and was cleaned up may be enqueued, and run, once more.
		const returned = new Map(steps.toReversed().flatMap(({step, value, at}) => (step === 'returns' ? [[value, at] as const] : [])));
		return steps.filter(({step, payload: {parents, of}, at}) => {
			if (step !== 'start' || !parents) return false;
			const isEach = parents.length === of?.length && parents.every((value, index) => tokenOf(value) === of[index]);
			return !isEach || parents.some(value => (returned.get(value) ?? Infinity) > at);
		});
	},
	'a child whose parents have completed is not cancelled because of them': ({jobs, retried, ...given}) => {
		const byToken = new Map(jobs.map(job => [job.token, job]));
		const cancelled = new Set(told(given, 'cancelling').map(({id}) => id));
		return jobs.filter(
			({id, status, of}) =>
				status === 'cancelled' && of && !cancelled.has(id) && !retried.has(id) && of.every(token => byToken.get(token)?.status === 'completed'),
		);
	},
	'a pipe yields a result for each item, once': given =>
		told(given, 'piped').filter(({slot, pipe, values}) => {
			const tokens = Array.from({length: 40}, (_, index) => `pipe${slot}.${pipe}.${index}/second`);
			return tokens.toSorted().join() !== values.map(tokenOf).toSorted().join();
		}),
	'each moment of a schedule has one job': ({steps}) => {
		const byMoment = Map.groupBy(
			steps.filter(({step, task}) => step === 'start' && task === 'moment'),
			({moment}) => moment ?? 0,
		);
		return [...byMoment].filter(([, same]) => new Set(same.map(({id}) => id)).size > 1);
	},
	'no moment of a schedule is lost': ({steps}) => {
		const moments = new Set(steps.flatMap(({step, moment}) => (step === 'returns' && moment !== undefined ? [moment] : [])));
		const [first, last] = [Math.min(...moments), Math.max(...moments)];
		const all = moments.size === 0 ? 0 : (last - first) / 1000 + 1;
		return moments.size === all ? [] : [{first, last, moments: moments.size, all}];
	},
	'a signal ends a program soon': ({lives}) => lives.filter(({by, dyingMs}) => (by === 'SIGTERM' || by === 'SIGINT') && dyingMs > PATIENCE_MS),
	'a program that ends in good order leaves no suspects': ({campaign, jobs}) =>
		campaign.endings.some(ending => ending === 'SIGKILL' || ending === 'SIGSTOP') ? [] : jobs.filter(({suspicions}) => suspicions > 0),
	'no child process outlives its program for long': ({lives}) => lives.filter(({orphanedMs}) => orphanedMs > PATIENCE_MS),
	'nothing is left beside the database': ({database, left}) =>
		left.filter(name => ![basename(database), `${basename(database)}-blobs`, 'steps', 'inputs'].includes(name) && !name.includes('-owner-')),
};

/** Answers that others get meanwhile. A program that gets its turn is overtaken by a few dozen. */
const MOST_OVERTAKEN = 2000;
/** For what takes milliseconds on an idle machine; the figures say how long it took. */
const PATIENCE_MS = 10_000;

/** A sentence for each law that is broken, with the first things that break it. */
export function judge(evidence: Evidence): string[] {
	const db = new Database(evidence.database, {readonly: true});
	try {
		const given = toCase(evidence, db);
		const broken = Object.entries(LAWS).flatMap(([law, find]) => {
			const found = find(given);
			return found.length === 0 ? [] : [`Broken: ${law}: ${found.length} times: ${JSON.stringify(found.slice(0, 3))}`];
		});
		return [...brokenLaws(db), ...broken];
	} finally {
		db.close();
	}
}

function toCase(evidence: Evidence, db: Database.Database): Case {
	makeEveryJob(db);
	const rows = db
		.prepare(`
			select j.id, t.name as task, j.payload, b.name as batch, coalesce(x.attempts, 0) as attempts, coalesce(x.suspicion, 0) as suspicions,
				b.shape is not null and b.total is null and b.name like 'flow%' as isHeld, w.run_at < 0 as isLeft
			from every_job j join task t on t.id = ${nameIn('j.task')} left join batch b on b.id = j.batch left join failure_state x on x.id = j.id left join waiting w on w.id = j.id`)
		.all() as Row[];
	const outcomes = new Map(outcomesOf(db).map(outcome => [outcome.id, outcome]));
	const jobs = rows.map(({payload, ...rest}) => {
		const {token, batch, of} = readPayload(payload, rest);
		const {status = 0, execution = 0, value = null, blob = null} = outcomes.get(rest.id) ?? {};
		const result = blob === null ? (value as string | null) : readFileSync(join(`${evidence.database}-blobs`, blob), 'utf8');
		return {
			...rest,
			isHeld: Boolean(rest.isHeld),
			isLeft: Boolean(rest.isLeft),
			execution,
			token: token ?? `${batch}/completed`,
			of,
			status: STATUS[status] ?? null,
			value: result === null ? undefined : (JSON.parse(result) as string),
		};
	});
	return {
		...evidence,
		jobs,
		jobById: new Map(jobs.map(job => [job.id, job])),
		stepsById: Map.groupBy(evidence.steps, ({id}) => id),
		retried: new Set(told(evidence, 'retrying').map(({id}) => id)),
	};
}

/** A payload that is made of results begins with an equals sign. A moment, and a second stage, have none of their own. */
function readPayload(payload: string | null, {id, task}: Pick<EndedJob, 'id' | 'task'>): Partial<Payload> & {readonly batch?: string} {
	if (payload === null || task === 'second' || task === 'moment') return {token: `${task} ${id}`};
	return JSON.parse(payload.replace(/^=/, ''));
}

type Row = Omit<EndedJob, 'status' | 'value' | 'token' | 'execution' | 'of'> & {readonly payload: string | null};

const STATUS: Readonly<Record<number, EndedJob['status']>> = {6: 'completed', 7: 'dead', 8: 'cancelled'};

function told<Each extends What>({told: all}: Pick<Evidence, 'told'>, what: Each): Told<Each>[] {
	return all.filter(each => each.what === what) as Told<Each>[];
}

/** How many answers other programs were given while each waited for one, or for that until its end. */
export function overtaken({told: all, lives}: Pick<Evidence, 'told' | 'lives'>): {readonly token: string; readonly by: number}[] {
	const answers = told({told: all}, 'enqueued');
	const own = Map.groupBy(answers, nameOfCall);
	const endedAt = new Map(lives.map(life => [`${life.slot} ${life.number}`, life.endedAt]));
	return told({told: all}, 'try').flatMap(call => {
		const {at, slot, number, tokens} = call;
		if (tokens[0]?.startsWith('batch')) return [];
		const until = own.get(nameOfCall(call))?.find(answer => answer.at > at)?.at ?? endedAt.get(`${slot} ${number}`) ?? at;
		return [{token: tokens[0] as string, by: answers.filter(other => other.slot !== slot && other.at > at && other.at < until).length}];
	});
}

function nameOfCall({slot, number, tokens}: Told<'try' | 'enqueued'>): string {
	return `${slot} ${number} ${tokens[0]}`;
}

function starts(steps: readonly Step[]): Step[] {
	return steps.filter(({step}) => step === 'start');
}

/** It had ended by all that is known: it returned, died of its failures or those of its parent, or was to be cancelled. */
function mayBeCleaned({campaign, stepsById, ...given}: Case, id: number, token: string | undefined): boolean {
	if (!campaign.cleans) return false;
	// A child is cancelled if its parent is dead.
	if (/\.(all|chain\d)$/.test(token ?? '')) return true;
	const steps = stepsById.get(id) ?? [];
	const failures = steps.filter(({step}) => step === 'throws' || step === 'exits').length;
	return failures >= 3 || steps.some(({step, task}) => step === 'returns' || task === 'command') || told(given, 'cancelling').some(cancel => cancel.id === id);
}

/** An execution starts while the one before it has not ended, nor what had it: its program, or a worker that was ended under it. */
function overlaps(given: Case, steps: readonly Step[]): boolean {
	return starts(steps).some((start, index, all) => {
		const before = all[index - 1];
		if (!before) return false;
		const end = steps.find(({execution, step}) => execution === before.execution && step !== 'start');
		return (end?.at ?? leftAt(given, before)) > start.at;
	});
}

/** From when on an execution of which nothing more was heard may have been stopped: a worker that is ended says nothing, and had it not been, it would have said how it ended. */
function leftAt(given: Case, {id, pid, at, payload}: Step): number {
	const life = given.lives.find(each => each.pid === pid);
	const cancelledAt = told(given, 'cancelling').filter(each => each.id === id);
	const closedAt = told(given, 'closing').filter(({slot, number}) => slot === life?.slot && number === life.number);
	return Math.min(life ? diedAt(given, life) : -Infinity, at + (payload.timeoutMs ?? Infinity), ...[...cancelledAt, ...closedAt].map(({at}) => at));
}

/** A thread's commands live on when its program is killed. */
function mayHaveLeft(given: Case, steps: string, at: number): boolean {
	const life = given.lives.find(({slot, number}) => basename(steps) === `${slot}-${number}`);
	return given.campaign.isolation === 'thread' && life?.end.signal === 'SIGKILL' && diedAt(given, life) <= at;
}

/** From when on nothing was heard of it: of a program that a failpoint killed, its campaign hears a second late if it judges another one meanwhile. */
function diedAt({told, steps}: Case, life: Life): number {
	const said = told.filter(({slot, number}) => slot === life.slot && number === life.number);
	const heard = [...said, ...steps.filter(({pid}) => pid === life.pid)].map(({at}) => at);
	return Math.min(life.endedAt - life.dyingMs, Math.max(...heard));
}

/** Who was suspended goes on with what others have by then, until it looks at its lease. */
function isSuspending({campaign}: Case): boolean {
	return campaign.endings.includes('SIGSTOP');
}

/** What one dispatcher told its own threads, they knew before its caller did; other programs and processes hear of it a little later. */
function hearsAtOnce({campaign}: Case): boolean {
	return campaign.slots === 1 && campaign.isolation === 'thread';
}

function startsWhilePaused(given: Case): Step[] {
	const pauses = told(given, 'paused').map(({at}) => at);
	const resumes = [...told(given, 'resuming'), ...told(given, 'opened')].map(({at}) => at);
	return given.steps.filter(({step, task, at}) => {
		const pausedAt = pauses.findLast(each => each < at);
		return step === 'start' && task === 'pausable' && pausedAt !== undefined && !resumes.some(each => each > pausedAt && each < at);
	});
}
