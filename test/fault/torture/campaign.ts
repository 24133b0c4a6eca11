import {type ChildProcess, type ChildProcessByStdio, spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {Readable} from 'node:stream';
import {text} from 'node:stream/consumers';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {FAILPOINTS, type FailpointName} from '../../../lib/support/failpoint.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import {runningCommands} from './commands.ts';
import {linesOf, type Round, readSteps, readWriters, type Step, steadyMs, type Told} from './history.ts';

/** How a program comes to its end: `SIGSTOP` is one of a program that was suspended for longer than its lease, and went on. */
export const ENDINGS = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGSTOP', 'close'] as const;
export type Ending = (typeof ENDINGS)[number];

/** Programs that are ended and started again, on one database; all of it follows from the seed, but for the moments. */
export interface Campaign {
	readonly seed: number;
	readonly kills: number;
	readonly endings: readonly Ending[];
	/** Programs at the same time. */
	readonly slots: number;
	readonly isolation: Round['isolation'];
	/** Ended jobs are cleaned up on the way. */
	readonly cleans: boolean;
}

/** What a campaign leaves behind. */
export interface Evidence {
	readonly campaign: Campaign;
	readonly database: string;
	readonly told: readonly Told[];
	readonly steps: readonly Step[];
	readonly lives: readonly Life[];
	/** Names of the files in its folder. */
	readonly left: readonly string[];
}

/** Of one program, from its start to its end. */
export interface Life {
	readonly slot: number;
	readonly number: number;
	readonly pid: number;
	readonly end: {readonly code: number | null; readonly signal: NodeJS.Signals | null};
	/** What was to kill it; without one it was to finish. */
	readonly by?: FailpointName | Ending;
	readonly hitFailpoint: boolean;
	readonly endedAt: number;
	/** From the signal to the end. */
	readonly dyingMs: number;
	/** How long the last of its child processes lived on. */
	readonly orphanedMs: number;
	/** Commands of its tasks that were running after it and its child processes had ended. */
	readonly commandsLeft: readonly number[];
	readonly stderr: string;
}

/** Its orphans may live yet. */
type Dead = Omit<Life, 'orphanedMs' | 'commandsLeft'> & {readonly orphans: Promise<Pick<Life, 'orphanedMs' | 'commandsLeft'>>};

export async function run(campaign: Campaign, folder: string): Promise<Evidence> {
	const database = join(folder, 'jobs.db');
	const steps = join(folder, 'steps');
	mkdirSync(steps);
	const told: Told[] = [];
	const dead: Dead[] = [];
	const env = {...process.env, NODE_COMPILE_CACHE: COMPILED};
	const start = (round: Round, failpoint = '') => {
		const own = join(steps, `${round.slot}-${round.number}`);
		mkdirSync(own);
		return new Program(database, round, own, {...env, STEPS: own, FAENA_FAILPOINTS: failpoint}, told);
	};
	let left = campaign.kills;
	const slots = Array.from({length: campaign.slots}, async (_, slot) => {
		const random = seeded(campaign.seed * 31 + slot);
		for (let number = 0; left-- > 0; number++) {
			const {closesAfterMs, ...fate} = fateOf(campaign, number, random);
			const seed = between(random, 0, 2 ** 31);
			const round = {...roundOf(campaign, slot, number, told), seed, roams: random() < 0.5, ...(closesAfterMs !== undefined && {closesAfterMs})};
			dead.push({...(await live(start(round, fate.failpoint), fate)), slot, number});
		}
	});
	await Promise.all(slots);
	const number = dead.length;
	const program = start({...roundOf(campaign, 0, number, told), finishes: true});
	const timer = setTimeout(() => program.process.kill('SIGKILL'), FINISH_MS);
	dead.push({...(await program.ended()), slot: 0, number, hitFailpoint: false, dyingMs: 0});
	clearTimeout(timer);
	const lives = await Promise.all(dead.map(async ({orphans, ...life}) => ({...life, ...(await orphans)})));
	return {campaign, database, told, steps: readSteps(steps), lives, left: readdirSync(folder)};
}

/** What Node.js made of our sources, kept as for all tests: half of what a program costs is its start. */
const COMPILED = fileURLToPath(new URL('../../../node_modules/.cache/compiled', import.meta.url));

/** What a program may take that has only to finish: others may have left it thousands of jobs, and each that ends its worker costs a start. */
const FINISH_MS = 600_000;
/** A failpoint that is not reached by the time that a program has said so much will not be. */
const FAILPOINT_LINES = 100;
/** Of programs that are suspended. */
const SHORT_LEASE_MS = 1000;
const DYING_MS = 2000;
/** No program lives longer than this. */
const LIFE_MS = 5000;

/** What is to become of a program. */
interface Fate {
	readonly by: FailpointName | Ending;
	/** The value of the environment variable `FAENA_FAILPOINTS`; empty if it is no failpoint. */
	readonly failpoint: string;
	readonly closesAfterMs: number | undefined;
	/** Not when it has opened its engine, but so long after its start. */
	readonly earlyMs: number | undefined;
	/** Once it has said so much. */
	readonly lines: number;
}

function fateOf(campaign: Campaign, number: number, random: () => number): Fate {
	const by = random() < 0.5 && campaign.endings.includes('SIGKILL') ? pick(random, reachable(campaign, number)) : pick(random, campaign.endings);
	const nth = /^(pool|close|migration|owner|recovery|batch):/.test(by) ? 1 : between(random, 1, 2);
	return {
		by,
		failpoint: by in FAILPOINTS ? `${by}:${nth}=kill` : '',
		closesAfterMs: by === 'close' ? between(random, 500, 2000) : by.startsWith('close:') || random() < 0.1 ? between(random, 0, 200) : undefined,
		earlyMs: random() < 0.2 && !(by in FAILPOINTS) ? between(random, 0, 300) : undefined,
		lines: by in FAILPOINTS ? FAILPOINT_LINES : between(random, 0, 60),
	};
}

async function live(program: Program, {by, failpoint, earlyMs, lines}: Omit<Fate, 'closesAfterMs'>): Promise<Omit<Dead, 'slot' | 'number'>> {
	const ended = program.ended();
	await Promise.race([earlyMs === undefined ? program.opened() : sleep(earlyMs), ended]);
	await Promise.race([program.said(lines), sleep(LIFE_MS), ended]);
	if (by === 'SIGSTOP') await suspend(program, lines);
	const signalledAt = steadyMs();
	const hitFailpoint = failpoint !== '' && program.process.signalCode === 'SIGKILL';
	if (by !== 'close') program.process.kill(by === 'SIGTERM' || by === 'SIGINT' ? by : 'SIGKILL');
	const end = await ended;
	return {...end, by, hitFailpoint, dyingMs: Math.max(0, end.endedAt - signalledAt)};
}

/** For so long that others take its jobs over; what it then has to say comes late. */
async function suspend(program: Program, lines: number): Promise<void> {
	program.process.kill('SIGSTOP');
	await sleep(2 * SHORT_LEASE_MS);
	const goesOn = program.said(lines);
	program.process.kill('SIGCONT');
	await Promise.race([goesOn, sleep(LIFE_MS)]);
}

function reachable({cleans}: Campaign, number: number): FailpointName[] {
	const isReachable = (name: FailpointName) =>
		!name.startsWith('move:') && (name.startsWith('migration:') ? number === 0 : cleans || !/^(cleanup:|blob:deleted)/.test(name));
	return (Object.keys(FAILPOINTS) as FailpointName[]).filter(isReachable);
}

function roundOf({seed, isolation, cleans, endings}: Campaign, slot: number, number: number, told: readonly Told[]): Round {
	const mapped = told.flatMap(each => (each.what === 'mapped' && each.slot === slot ? [each.batch] : []));
	const countOf = (what: 'flowed' | 'piped') => told.filter(each => each.what === what && each.slot === slot).length;
	const leaseMs = endings.includes('SIGSTOP') ? SHORT_LEASE_MS : 30_000;
	return {
		seed,
		slot,
		number,
		isolation,
		cleans,
		roams: false,
		leaseMs,
		batch: Math.max(-1, ...mapped) + 1,
		flow: countOf('flowed'),
		pipe: countOf('piped'),
		finishes: false,
	};
}

const FILE = fileURLToPath(new URL('./program.ts', import.meta.url));

/** The next program starts without waiting for orphans, since these may still be at work. */
type Death = Omit<Dead, 'slot' | 'number' | 'by' | 'hitFailpoint' | 'dyingMs'>;

class Program {
	readonly process: ChildProcess;
	readonly #opened = Promise.withResolvers<void>();
	#said = Promise.withResolvers<void>();
	#awaited = 0;
	readonly #ended: Promise<Death>;

	constructor(database: string, round: Round, steps: string, env: NodeJS.ProcessEnv, told: Told[]) {
		const child = spawn(process.execPath, [FILE, basename(database), JSON.stringify(round)], {
			cwd: dirname(database),
			stdio: ['ignore', 'pipe', 'pipe'],
			env,
		});
		this.process = child;
		let rest = '';
		child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
			const lines = (rest + chunk).split('\n');
			rest = lines.pop() as string;
			for (const line of linesOf(lines.map(each => `${each}\n`).join('')) as Told[]) {
				told.push(line);
				if (line.what === 'opened') this.#opened.resolve();
				if (--this.#awaited === 0) this.#said.resolve();
			}
		});
		this.#ended = watch(child, steps);
	}

	opened(): Promise<void> {
		return this.#opened.promise;
	}

	/** Resolves when it has said so many things more. */
	said(lines: number): Promise<void> {
		if (lines === 0) return Promise.resolve();
		this.#awaited = lines;
		this.#said = Promise.withResolvers();
		return this.#said.promise;
	}

	/** And all that it said has been read. */
	ended(): Promise<Death> {
		return this.#ended;
	}
}

async function watch(child: ChildProcessByStdio<null, Readable, Readable>, steps: string): Promise<Death> {
	const stderr = text(child.stderr);
	const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
	await once(child, 'exit');
	const endedAt = steadyMs();
	const orphans = untilGone(readWriters(steps).filter(pid => pid !== child.pid)).then(async () => ({
		orphanedMs: steadyMs() - endedAt,
		commandsLeft: await lastingCommands(steps),
	}));
	const [code, signal] = await closed;
	return {pid: child.pid ?? 0, end: {code, signal}, endedAt, orphans, stderr: await stderr};
}

/** What was killed last may take a moment to die. */
async function lastingCommands(steps: string): Promise<number[]> {
	for (const until = steadyMs() + DYING_MS; ; await sleep(10)) {
		const running = runningCommands(command => command.steps === steps).map(({pid}) => pid);
		if (running.length === 0 || steadyMs() > until) return running;
	}
}

async function untilGone(pids: readonly number[]): Promise<void> {
	while (pids.some(isThere)) await sleep(1);
}

/** Not one that has ended, and only waits for the system to take note of it. */
function isThere(pid: number): boolean {
	try {
		return process.kill(pid, 0) && !(existsSync('/proc/self/stat') && / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
	} catch {
		return false;
	}
}
