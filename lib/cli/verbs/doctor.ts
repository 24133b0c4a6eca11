import type {Command} from 'commander';
import type {Job, JobSearch} from '../../index.ts';
import type {InspectedFile, InspectedMove, InspectedSchema, Inspection} from '../../internal/api.ts';
import {FaenaError, kindOf, shownLocation, version} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import type {TaskCounts} from '../../store.ts';
import {ExitCode} from '../exit-codes.ts';
import {assertExists, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {clock, count, counted, megabytes, print, recordJson} from '../terminal/print.ts';
import {shellQuote} from '../terminal/shell-quote.ts';
import {waitingOf} from './pause-and-resume.ts';
import {describeMove} from './status-and-batches.ts';

export function addDoctor(program: Command): void {
	queueCommand(program, 'doctor')
		.summary('look for what is wrong with a queue, and say what to do')
		.description(
			'Looks for what is wrong with a queue: damage, settings that risk jobs, programs that died with jobs, jobs that no program runs, held and stale jobs, a full disk, a ' +
				'network file system, a large log. It says what to do, and changes nothing. It reads the whole file, at about a second per GiB.',
		)
		.option('--json', 'print one line of JSON')
		.action(async ({queue: file, json}: {readonly queue: string; readonly json?: true}) => {
			await assertExists(file);
			const report = await examine(file);
			await print(json ? `${recordJson(report)}\n` : describe(report));
			if (report.findings.length > 0) process.exitCode = ExitCode.someFailed;
		});
}

/** What is wrong, and what to do. */
export interface Finding {
	/** Names the kind of problem, for programs. It stays the same between releases. */
	readonly code: 'damaged' | 'unreadable' | 'moved' | 'unprepared' | 'setting' | 'diskFull' | 'logGrown' | 'networkDisk' | 'inMemory' | 'silent' | JobsFinding;
	readonly problem: string;
	readonly advice: string;
}

type JobsFinding = 'paused' | 'held' | 'idle' | 'stale';

interface Report extends Partial<Omit<Inspection, 'damage' | 'owners' | 'move'>> {
	readonly queue: string;
	readonly faena: string;
	readonly node: string;
	/** Programs with a recent heartbeat. */
	readonly engines?: number;
	readonly findings: readonly Finding[];
}

function judgeDamage(damage: string): Finding {
	const advice = 'Restore it from a backup, or recover what is left with the sqlite3 shell (.recover).';
	return {code: 'damaged', problem: `The file is damaged: ${damage}.`, advice};
}

function judgeMove(move: InspectedMove): Finding {
	const advice = move.isArriving ? 'Call faena move again, which goes on with it.' : 'Use that one. faena move --reopen lets programs write to this one again.';
	return {code: 'moved', problem: describeMove(move), advice};
}

async function examine(file: string): Promise<Report> {
	const base = {queue: shownLocation(file), faena: version, node: process.versions.node};
	try {
		const {damage, owners, move, ...inspection} = await kindOf(file).inspect(file);
		const engines = owners.filter(({silentMs}) => silentMs < MAX_SILENCE_MS).length;
		const findings: Finding[] = [
			...(damage === undefined ? [] : [judgeDamage(damage)]),
			...(move ? [judgeMove(move)] : []),
			...judgeSettings(inspection.settings),
			...(inspection.file ? judgeFile(inspection.file) : []),
			...judgeOwners(owners, file),
			...(inspection.schema.isPrepared === false ? [UNPREPARED] : []),
			...(move || inspection.schema.isPrepared === false
				? []
				: await useQueue(file, async queue => [...(await judgeTasks(queue, engines, file)), ...(await judgeStale(queue, file))], {readOnly: true})),
		];
		return {...base, ...inspection, engines, findings};
	} catch (error) {
		// A queue that can't be opened is what the doctor is asked about.
		if (!(error instanceof FaenaError) || !['BadDatabase', 'NewerDatabase'].includes(error.code)) throw error;
		return {...base, findings: [{code: 'unreadable', problem: "The queue can't be opened.", advice: error.message}]};
	}
}

const UNPREPARED: Finding = {
	code: 'unprepared',
	problem: 'The functions of this release are not installed, so no jobs were looked at.',
	advice: 'Open the queue once for writing, or run the SQL of faena schema --print as the owner of the schema.',
};

export function judgeSettings(settings: Inspection['settings']): Finding[] {
	return Object.entries(settings).flatMap(([name, value]) => {
		const {isGood, risk = '', advice = ''} = SETTINGS[name] ?? {};
		return isGood?.(value) === false ? [{code: 'setting' as const, problem: `The setting ${name} is ${value}: ${risk}.`, advice}] : [];
	});
}

/** The settings of SQLite and PostgreSQL that matter. An engine sets the rest for itself. */
const SETTINGS: Readonly<Record<string, {readonly isGood: (value: string) => boolean; readonly risk: string; readonly advice: string}>> = {
	journal_mode: {
		isGood: value => value === 'wal',
		risk: 'readers and writers wait for each other',
		advice: 'Open the queue with an engine, such as faena work, which sets it.',
	},
	fsync: {isGood: value => value === 'on', risk: 'a crash of the machine can lose or damage jobs', advice: 'Set fsync = on in postgresql.conf.'},
	synchronous_commit: {
		isGood: value => value !== 'off',
		risk: 'a crash of the server can lose the last commits',
		advice: 'Set synchronous_commit = on in postgresql.conf.',
	},
	full_page_writes: {isGood: value => value === 'on', risk: 'a crash of the machine can damage jobs', advice: 'Set full_page_writes = on in postgresql.conf.'},
};

const MIN_DISK_FREE_BYTES = 512 * 1024 ** 2;
/** An engine moves a log of 16 MiB into the database. */
const MAX_LOG_BYTES = 64 * 1024 ** 2;

export function judgeFile({logBytes, diskFreeBytes, unsafeFileSystem}: InspectedFile): Finding[] {
	const findings: Finding[] = [];
	if (diskFreeBytes < MIN_DISK_FREE_BYTES)
		findings.push({
			code: 'diskFull',
			problem: `The disk has only ${megabytes(diskFreeBytes)} left.`,
			advice: 'Free some space. faena cleanup deletes ended jobs, and faena vacuum gives their space back.',
		});
	if (logBytes > MAX_LOG_BYTES)
		findings.push({
			code: 'logGrown',
			problem: `The log beside the file has ${megabytes(logBytes)}.`,
			advice: 'A program keeps a read transaction open, or was killed while it did. End it; an engine on the queue then moves the log into the file.',
		});
	if (unsafeFileSystem === 'network')
		findings.push({
			code: 'networkDisk',
			problem: 'The file is on a network file system, where locks are not reliable.',
			advice: 'Move the queue to a local disk. For several machines, use PostgreSQL: docs/postgres.md.',
		});
	if (unsafeFileSystem === 'memory')
		findings.push({code: 'inMemory', problem: 'The file is in memory (tmpfs), and is lost when the machine stops.', advice: 'Move the queue to a disk.'});
	return findings;
}

/** Twice the usual lease. A living engine renews its heartbeat several times in a lease. */
const MAX_SILENCE_MS = 60_000;

function judgeOwners(owners: Inspection['owners'], file: string): Finding[] {
	return owners
		.filter(({silentMs, jobs}) => jobs > 0 && silentMs >= MAX_SILENCE_MS)
		.map(({name, silentMs, jobs}) => ({
			code: 'silent',
			problem: `The program ${inLine(name)} has ${counted(jobs, 'running job')}, and has given no sign of life for ${clock(silentMs / 1000)}.`,
			advice: `If it has died, start it again: its command goes on with them, such as faena map … or faena work MODULE --queue ${shellQuote(shownLocation(file))}. If it hangs, end it. With the option lease at several minutes such a silence is usual.`,
		}));
}

async function judgeTasks(queue: JobQueue, engines: number, file: string): Promise<Finding[]> {
	const flag = `--queue ${shellQuote(shownLocation(file))}`;
	const all = await queue.store.counts();
	const findings: Finding[] = [];
	for (const counts of all) {
		const {task, scope, isPaused, held} = counts;
		if (isPaused && scope === undefined) findings.push(...pausedFindings(task, waitingOf(all, task), flag));
		if (held > 0) findings.push(heldFinding(task, held));
		const idleMs = isPaused ? 0 : await idleTime(queue, counts);
		if (idleMs >= MAX_IDLE_MS) findings.push(idleFinding(counts, idleMs, engines, flag));
	}
	return findings;
}

function pausedFindings(task: string, waiting: number, flag: string): Finding[] {
	if (waiting === 0) return [];
	const problem = `The task ${inLine(task)} is paused, and ${counted(waiting, 'job')} wait${waiting === 1 ? 's' : ''}.`;
	return [{code: 'paused', problem, advice: `faena resume ${shellQuote(task)} ${flag}`}];
}

function heldFinding(task: string, held: number): Finding {
	return {
		code: 'held',
		problem: `${counted(held, 'job')} of the task ${inLine(task)} ${held === 1 ? 'is' : 'are'} held: left unfinished by an earlier run, and not named by the last one.`,
		advice: 'Run its command with all of its input; or with --missing run, cancel or delete.',
	};
}

function idleFinding({task, scope, ready, quarantined}: TaskCounts, idleMs: number, engines: number, flag: string): Finding {
	const due = ready + quarantined;
	const [what, which, adoption] =
		scope === undefined
			? ['task', '', '']
			: [
					'scope',
					` and the scope ${inLine(scope)}`,
					`, for a scope with a folder in that folder. If no program has the scope any more, give its jobs to another: faena adopt --from ${shellQuote(scope)} --to SCOPE ${flag}`,
				];
	const reason = engines === 0 ? 'No engine is open on the queue' : `No open engine has this ${what}, or others keep its workers busy`;
	return {
		code: 'idle',
		problem: `${counted(due, 'job')} of the task ${inLine(task)}${which} ${due === 1 ? 'is' : 'are'} ready, for up to ${clock(idleMs / 1000)}, and none runs.`,
		advice: `${reason}. Start one: faena work MODULE ${flag}${adoption}`,
	};
}

async function judgeStale(queue: JobQueue, file: string): Promise<Finding[]> {
	const {completed: jobs} = await queue.counts({stale: true, status: 'completed'});
	if (jobs === 0) return [];
	const problem = `${counted(jobs, 'job')} ${jobs === 1 ? 'was' : 'were'} made from results which are no longer the last ones: faena list --stale shows them.`;
	return [{code: 'stale', problem, advice: `To run them again, and what follows: faena retry --stale --queue ${shellQuote(shownLocation(file))}`}];
}

const MAX_IDLE_MS = 60_000;

/** For how long jobs of the task have been ready, without any of them running; 0 if some run. */
async function idleTime(queue: JobQueue, {task, scope, ready, quarantined, running}: TaskCounts): Promise<number> {
	if (ready + quarantined === 0 || running > 0) return 0;
	const now = queue.store.now();
	const find = async (search: JobSearch, isMeant: (job: Job) => boolean) =>
		(await queue.jobs({task, ...search}).page({limit: MAX_LOOKED_AT})).find(job => job.scope === scope && isMeant(job));
	const first = await find({status: 'pending'}, job => !job.held && (job.runAt ?? 0) <= now);
	const latest = await find({sort: 'startedAt'}, () => true);
	return first ? now - Math.max(first.createdAt, first.runAt ?? 0, latest?.startedAt ?? 0) : 0;
}

/** The most jobs that are looked through. */
const MAX_LOOKED_AT = 10_000;

/** For instance `version 2; functions of Faena 1.1.0 (3 connections), 1.0.2 (not in use)`. */
export function describeSchema({version: tables, isPrepared = true, releases = []}: InspectedSchema): string {
	const sets = releases.map(({release, connections}) => `${release} (${connections > 0 ? counted(connections, 'connection') : 'not in use'})`);
	return [
		`version ${tables}`,
		...(sets.length > 0 ? [`functions of Faena ${sets.join(', ')}`] : []),
		...(isPrepared ? [] : [`not prepared for Faena ${version}`]),
	].join('; ');
}

function describe({queue, faena, node, engine, schema, settings, engines, file, findings}: Report): string {
	const named = Object.entries(settings ?? {}).map(([name, value]) => `${name} ${value}`);
	const rows = [
		['versions', [`Faena ${faena}`, `Node ${node}`, engine].filter(Boolean).join(', ')],
		[
			'file',
			file &&
				`${megabytes(file.databaseBytes)}, of which ${megabytes(file.freeBytes)} free; log ${megabytes(file.logBytes)}; disk ${megabytes(file.diskFreeBytes)} free`,
		],
		['settings', named.join(', ')],
		['schema', schema && describeSchema(schema)],
		['engines', engines === undefined ? undefined : `${count(engines)} open`],
	];
	const verdict = findings.length === 0 ? 'all is well' : findings.length === 1 ? '1 thing needs attention' : `${findings.length} things need attention`;
	return [
		`${queue}: ${verdict}`,
		...rows.flatMap(([label = '', text]) => (text ? [`${label.padEnd(10)}${text}`] : [])),
		...findings.flatMap(({problem, advice}) => ['', `! ${problem}`, `  ${advice}`]),
		'',
	].join('\n');
}
