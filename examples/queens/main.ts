/**
 * Counts the ways to place n queens on a board of n × n so that none attacks another. It runs a few jobs of minutes each,
 * which continue from their checkpoints after a stop or a kill.
 *
 *     node examples/queens/main.ts [size, default 18] [--queue file, default queens.db]
 *     node examples/queens/main.ts 18 --kills 10 [--within seconds, default 15]
 *
 * The second form runs the first on a queue of its own, kills it at random moments, starts it again, and says how much work
 * was done twice. Exit code: 0 the known number, 1 another one, 2 bad input.
 */
import {mkdtempSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {FaenaError, open} from 'faena';
import {killOften} from '../kill-often.ts';
import {type Branch, openingsOf} from './tasks.ts';

/** By size: https://oeis.org/A000170 */
const KNOWN = [1, 1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14_200, 73_712, 365_596, 2_279_184, 14_772_512, 95_815_104, 666_090_624, 4_968_057_848];

const OPTIONS = {queue: {type: 'string', default: 'queens.db'}, kills: {type: 'string'}, within: {type: 'string', default: '15'}} as const;

try {
	const {values, positionals} = parseArgs({allowPositionals: true, options: OPTIONS});
	const size = toNumber('the size of the board', positionals[0] ?? '18', KNOWN.length - 1);
	if (values.kills === undefined) await count(size, values.queue);
	else await countKilled(size, toNumber('--kills', values.kills, 1000), toNumber('--within', values.within, 3600));
} catch (error) {
	const isStopped = error instanceof FaenaError && error.code === 'Closed';
	console.error(isStopped ? 'Stopped; the same command goes on from here.' : (error as Error).message);
	process.exitCode = 2;
}

async function count(size: number, queue: string): Promise<void> {
	const faena = await open<typeof import('./tasks.ts')>({
		queue,
		tasks: new URL('./tasks.ts', import.meta.url),
		// Because of their checkpoints, jobs need no time to finish when the program ends.
		drain: 0,
		closeOnSignals: true,
	});
	const shares = new Map<number, number>();
	const advance = (job: number, share: number) => {
		shares.set(job, share);
		const sum = shares.values().reduce((total, each) => total + each, 0);
		if (process.stderr.isTTY) process.stderr.write(`\r${((100 * sum) / branches(size).length).toFixed(1)} % `);
	};
	faena.on('progress', ({id, done, total = done}) => advance(id, done / total));
	let ways = 0;
	for await (const branch of faena.map('count', branches(size), {batch: `queens ${size}`, key: ({column}) => String(column)})) {
		if (branch.status !== 'completed') throw branch.error;
		advance(branch.jobId, 1);
		// A board and its mirror image have the same number of ways.
		ways += branch.item.column * 2 + 1 === size ? branch.result : 2 * branch.result;
		console.log(`first queen in column ${branch.item.column + 1}: ${format(branch.result)} ways`);
	}
	await faena.close();
	const isKnown = ways === KNOWN[size];
	console.log(`${size} queens: ${format(ways)} ways, ${isKnown ? 'as' : `where ${format(KNOWN[size] as number)} are`} known (https://oeis.org/A000170)`);
	process.exitCode = isKnown ? 0 : 1;
}

function branches(size: number): Branch[] {
	return Array.from({length: Math.ceil(size / 2)}, (_, column) => ({size, column}));
}

async function countKilled(size: number, kills: number, withinSeconds: number): Promise<void> {
	const folder = mkdtempSync(join(tmpdir(), 'queens-'));
	const journal = join(folder, 'journal');
	writeFileSync(journal, '');
	try {
		const program = [fileURLToPath(import.meta.url), String(size), '--queue', join(folder, 'queens.db')];
		const start = performance.now();
		const {killed, code} = await killOften(program, kills, 1000 * withinSeconds, {QUEENS_JOURNAL: journal});
		const seconds = (performance.now() - start) / 1000;
		process.exitCode = code;
		if (code > 1) return;
		const needed = branches(size).reduce((sum, branch) => sum + openingsOf(branch).length, 0);
		const again = statSync(journal).size - needed;
		console.log(
			`killed ${killed} times in ${seconds.toFixed(0)} s; ${format(again)} of ${format(needed)} openings were counted again (${((100 * again) / needed).toFixed(2)} %)`,
		);
	} finally {
		rmSync(folder, {recursive: true});
	}
}

/** @throws TypeError a sentence for the user */
function toNumber(name: string, value: string, max: number): number {
	const number = Number(value);
	if (Number.isInteger(number) && number >= 1 && number <= max) return number;
	throw new TypeError(`${name} is a whole number from 1 to ${max}; it got ${value}`);
}

function format(value: number): string {
	return value.toLocaleString('en');
}
