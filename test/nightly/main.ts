/**
 * `npm run nightly -- [--seed 1] [--only torture,fuzz]`: runs the long plans one after the other, each with a seed drawn for the night, and
 * says which held. A plan that fails, or takes longer than it may, does not keep the others from running; the command then ends with 1.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {PLANS, type Plan, SEEDS_PER_NIGHT} from './plans.ts';

const DAY_MS = 86_400_000;
const drawn = Math.floor(Date.now() / DAY_MS) * SEEDS_PER_NIGHT + Math.floor(Math.random() * SEEDS_PER_NIGHT);
const {values} = parseArgs({options: {seed: {type: 'string', default: String(drawn)}, only: {type: 'string'}}});
const seed = Number(values.seed);
const chosen = PLANS.filter(({script}) => values.only?.split(',').includes(script) ?? true);
let running: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
	process.on(signal, () => {
		end(running);
		process.exit(1);
	});
}

console.log(`seed ${seed}`);
const failed: string[] = [];
const ran: string[] = [];
for (const plan of chosen) {
	const command = commandOf(plan);
	const begunAt = performance.now();
	console.log(`\n=== ${command}`);
	const problem = await run(plan);
	const seconds = Math.round((performance.now() - begunAt) / 1000);
	console.log(`${problem ?? 'held'}, after ${seconds} s: ${command}`);
	ran.push(`${String(seconds).padStart(5)} s  ${problem ?? 'held'}  ${command}`);
	if (problem !== undefined) failed.push(`${problem}: ${command}`);
}
console.log(`\nThis night ran:\n${ran.join('\n')}`);
console.log(`\n${chosen.length - failed.length} of ${chosen.length} plans held, seed ${seed}.`);
if (failed.length > 0) {
	console.error(failed.join('\n'));
	process.exitCode = 1;
}

function commandOf({script, args}: Plan): string {
	return ['npm', 'run', script, '--', ...args(seed)].join(' ');
}

/** What was wrong with it, if anything was. */
async function run({script, args, minutes}: Plan): Promise<string | undefined> {
	// A process group of its own: what it started ends with it.
	const child = spawn('npm', ['run', '--silent', script, '--', ...args(seed)], {
		cwd: fileURLToPath(new URL('../..', import.meta.url)),
		detached: true,
		stdio: ['ignore', 'inherit', 'inherit'],
	});
	running = child.pid;
	let isLate = false;
	const timer = setTimeout(() => {
		isLate = true;
		end(child.pid);
	}, minutes * 60_000);
	const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
	clearTimeout(timer);
	end(child.pid);
	running = undefined;
	if (isLate) return `took longer than ${minutes} minutes`;
	return code === 0 ? undefined : `FAILED with ${code ?? signal}`;
}

function end(group: number | undefined): void {
	try {
		if (group !== undefined) process.kill(-group, 'SIGKILL');
	} catch {
		// All of it has ended.
	}
}
