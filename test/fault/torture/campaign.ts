import {type ChildProcess, type ChildProcessByStdio, spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdirSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Readable} from 'node:stream';
import {text} from 'node:stream/consumers';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {FAILPOINTS, type FailpointName} from '../../../lib/failpoint.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import {linesOf, type Round, readSteps, readWriters, type Step, steadyMs, type Told} from './history.ts';

export type KillSignal = 'SIGKILL' | 'SIGTERM' | 'SIGINT';

/** Programs that are ended and started again, on one database; all of it follows from the seed, but for the moments. */
export interface Campaign {
	readonly seed: number;
	readonly kills: number;
	readonly signals: readonly KillSignal[];
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
	readonly by?: FailpointName | KillSignal;
	readonly hitFailpoint: boolean;
	readonly endedAt: number;
	/** From the signal to the end. */
	readonly dyingMs: number;
	/** How long the last of its child processes lived on. */
	readonly orphanedMs: number;
	readonly stderr: string;
}

/** Its orphans may live yet. */
type Dead = Omit<Life, 'orphanedMs'> & {readonly orphans: Promise<number>};

export async function run(campaign: Campaign, folder: string): Promise<Evidence> {
	const database = join(folder, 'jobs.db');
	const steps = join(folder, 'steps');
	mkdirSync(steps);
	const told: Told[] = [];
	const dead: Dead[] = [];
	const env = {...process.env, NODE_COMPILE_CACHE: join(folder, '..', 'compiled')};
	const start = (round: Round, failpoint = '') => {
		const own = join(steps, `${round.slot}-${round.number}`);
		mkdirSync(own);
		return new Program(database, round, own, {...env, STEPS: own, FAENA_FAILPOINTS: failpoint}, told);
	};
	let left = campaign.kills;
	const slots = Array.from({length: campaign.slots}, async (_, slot) => {
		const random = seeded(campaign.seed * 31 + slot);
		for (let number = 0; left-- > 0; number++) dead.push(await liveAndDie(campaign, slot, number, random, told, start));
	});
	await Promise.all(slots);
	for (const slot of slots.keys()) {
		const number = dead.length;
		const program = start({...roundOf(campaign, slot, number, told), finishes: true});
		const timer = setTimeout(() => program.process.kill('SIGKILL'), FINISH_MS);
		dead.push({...(await program.ended()), slot, number, hitFailpoint: false, dyingMs: 0});
		clearTimeout(timer);
	}
	const lives = await Promise.all(dead.map(async ({orphans, ...life}) => ({...life, orphanedMs: await orphans})));
	return {campaign, database, told, steps: readSteps(steps), lives, left: readdirSync(folder)};
}

/** What a program may take that has only to finish. */
const FINISH_MS = 120_000;
/** A failpoint that is not reached by then will not be. */
const FAILPOINT_MS = 500;
/** Nobody lives for longer after its start. */
const LIFE_MS = 1500;

async function liveAndDie(
	campaign: Campaign,
	slot: number,
	number: number,
	random: () => number,
	told: Told[],
	start: (round: Round, failpoint?: string) => Program,
): Promise<Dead> {
	const by = random() < 0.5 && campaign.signals.includes('SIGKILL') ? pick(random, reachable(campaign, number)) : pick(random, campaign.signals);
	const isFailpoint = by in FAILPOINTS;
	const closes = by.startsWith('close:') || random() < 0.1;
	const round = {...roundOf(campaign, slot, number, told), seed: between(random, 0, 2 ** 31), ...(closes && {closesAfterMs: between(random, 0, 200)})};
	const program = start(round, isFailpoint ? `${by}:${/^(close|migration|owner|recovery):/.test(by) ? 1 : between(random, 1, 4)}=kill` : '');
	// Some die while they start, most while they work.
	const opens = random() < 0.2 ? sleep(between(random, 0, 300)) : program.opened();
	const ended = program.ended();
	await Promise.race([opens, ended]);
	await Promise.race([isFailpoint ? sleep(FAILPOINT_MS) : program.said(between(random, 0, 60)), sleep(LIFE_MS), ended]);
	const signalledAt = steadyMs();
	const hitFailpoint = isFailpoint && program.process.signalCode === 'SIGKILL';
	program.process.kill(isFailpoint ? 'SIGKILL' : (by as KillSignal));
	const end = await ended;
	return {...end, slot, number, by, hitFailpoint, dyingMs: Math.max(0, end.endedAt - signalledAt)};
}

function reachable({cleans}: Campaign, number: number): FailpointName[] {
	const isReachable = (name: FailpointName) => (name === 'migration:written' ? number === 0 : cleans || !name.startsWith('cleanup:'));
	return (Object.keys(FAILPOINTS) as FailpointName[]).filter(isReachable);
}

function roundOf({seed, isolation, cleans}: Campaign, slot: number, number: number, told: readonly Told[]): Round {
	const mapped = told.flatMap(each => (each.what === 'mapped' && each.slot === slot ? [each.batch] : []));
	return {seed, slot, number, isolation, cleans, batch: Math.max(-1, ...mapped) + 1, finishes: false};
}

const FILE = fileURLToPath(new URL('./program.ts', import.meta.url));

/** Nobody waits for orphans before the next program starts: they might still have been at work. */
type Death = Omit<Dead, 'slot' | 'number' | 'by' | 'hitFailpoint' | 'dyingMs'>;

class Program {
	readonly process: ChildProcess;
	readonly #opened = Promise.withResolvers<void>();
	readonly #said = Promise.withResolvers<void>();
	#awaited = 0;
	readonly #ended: Promise<Death>;

	constructor(database: string, round: Round, steps: string, env: NodeJS.ProcessEnv, told: Told[]) {
		const child = spawn(process.execPath, [FILE, database, JSON.stringify(round)], {stdio: ['ignore', 'pipe', 'pipe'], env});
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
	const orphans = untilGone(readWriters(steps).filter(pid => pid !== child.pid)).then(() => steadyMs() - endedAt);
	const [code, signal] = await closed;
	return {pid: child.pid ?? 0, end: {code, signal}, endedAt, orphans, stderr: await stderr};
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
