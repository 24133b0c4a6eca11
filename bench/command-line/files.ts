/**
 * Hashes files with `sha256sum`, two at a time: by `faena map --sh`, by GNU parallel if it is there, by `xargs`, and by a loop around Node's `spawn()`.
 * Then kills `faena map --sh` three times and lets it end.
 * `node bench/command-line/files.ts [FILES] [ROUNDS]`, by default 2,000 and 3, prints medians, the beginnings of both job logs, and what the kills have done.
 */
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {median} from '../analyse/statistics.ts';
import {FAENA, isInstalled, type Ran, run, start} from './program.ts';

const AT_ONCE = 2;
const [count = '2000', rounds = '3'] = process.argv.slice(2);
if (count === 'loop') await hashAll(process.argv.slice(3));
else await main(Number(count), Number(rounds));

async function main(files: number, rounds: number): Promise<void> {
	const folder = mkdtempSync(join(tmpdir(), 'faena-bench-'));
	mkdirSync(join(folder, 'in'));
	for (let file = 0; file < files; file++) writeFileSync(join(folder, 'in', `${file}.txt`), `${file}\n`.repeat(1000));
	await compare(folder, files, rounds);
	await killThrice(folder, files);
	rmSync(folder, {recursive: true});
}

async function compare(folder: string, files: number, rounds: number): Promise<void> {
	const through = (command: string) => ['sh', '-c', `find in -type f -print0 | ${command}`];
	const ways: Readonly<Record<string, readonly string[]>> = {
		'faena map --sh': [...FAENA, 'map', '--quiet', '-j', `${AT_ONCE}`, '--joblog', 'faena.log', '--sh', 'sha256sum {}', 'in/*'],
		"Node's spawn()": through(`xargs -0 ${process.execPath} ${fileURLToPath(import.meta.url)} loop`),
		[`xargs -P${AT_ONCE}`]: through(`xargs -0 -P${AT_ONCE} -n1 sha256sum`),
		...(isInstalled('parallel') && {[`parallel -j${AT_ONCE}`]: through(`parallel -0 -j${AT_ONCE} --joblog parallel.log sha256sum {}`)}),
	};
	const found = new Map(Object.keys(ways).map(way => [way, [] as Ran[]]));
	for (let round = 0; round < rounds; round++) {
		for (const [way, words] of Object.entries(ways)) {
			rmSync(join(folder, 'faena.db'), {force: true});
			const ran = await run(words, {cwd: folder});
			const lines = ran.stdout.split('\n').filter(line => /^[0-9a-f]{64} {2}in\//.test(line));
			if (new Set(lines).size !== files) throw new Error(`${way} has hashed ${new Set(lines).size} of ${files} files.`);
			found.get(way)?.push(ran);
		}
	}
	for (const [way, runs] of found) {
		const rate = files / median(runs.map(({seconds}) => seconds));
		const cpuMs = (1000 * median(runs.map(({cpuSeconds}) => cpuSeconds))) / files;
		console.log(`${way.padEnd(16)} ${Math.round(rate).toString().padStart(5)} files/s  ${cpuMs.toFixed(2)} ms of CPU each`);
	}
	for (const log of ['faena.log', 'parallel.log']) console.log(`\n${log}\n${readFileSync(join(folder, log), 'utf8').split('\n').slice(0, 4).join('\n')}`);
}

/** The command says when it begins and ends. */
async function killThrice(folder: string, files: number): Promise<void> {
	const command = 'echo {} >> begun; sha256sum {} && sleep 0.005 && echo {} >> ended';
	const words = [...FAENA, 'map', '--quiet', '-j', `${AT_ONCE}`, '--queue', 'killed.db', '--sh', command, 'in/*'];
	const lines = (name: string) => readFileSync(join(folder, name), 'utf8').trim().split('\n');
	writeFileSync(join(folder, 'begun'), '');
	let left = 0;
	for (let kill = 1; kill <= 3; kill++) {
		const program = start(words, folder);
		while (lines('begun').length < (kill * files) / 5) await sleep(5);
		program.kill('SIGKILL');
		await once(program, 'exit');
		await sleep(1000);
		left += Number(execFileSync('sh', ['-c', 'pgrep -cf "^(sha256sum|sleep|/bin/sh -c).*(in/|0.005)" || true'], {encoding: 'utf8'}));
	}
	const {stdout} = await run(words, {cwd: folder});
	const [begun, ended] = [lines('begun').length, lines('ended')];
	console.log(
		`\nKilled 3 times: ${new Set(stdout.trim().split('\n')).size} of ${files} results, ${begun} starts, ${ended.length - new Set(ended).size} files done twice, ${left} commands alive a second after a kill`,
	);
}

/** What a program would do that uses Node alone. */
async function hashAll(paths: readonly string[]): Promise<void> {
	const left = [...paths];
	const loop = async () => {
		for (let path = left.shift(); path !== undefined; path = left.shift()) {
			const child = spawn('sha256sum', [path], {stdio: ['ignore', 'pipe', 'pipe']});
			child.stdout.pipe(process.stdout, {end: false});
			await once(child, 'close');
		}
	};
	await Promise.all(Array.from({length: AT_ONCE}, loop));
}
