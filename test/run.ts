/**
 * `npm test [-- FILES]` and `npm run test:quick`: runs all tests but the longest, these files, or the quick ones, by AVA, and prints a line for each file, when its first test has ended,
 * what AVA prints of failures, and which files took longest. `npx ava FILE` prints each test of a file. `npm test -- --keep-times` keeps the times of all files in
 * `test/times/times.json`, by which the longest begin first.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {ALL_BUT_LONG, QUICK} from './selections.ts';
import {keepTimes, METER, printTimes, readTimes} from './times/times.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const AVA = fileURLToPath(new URL('../node_modules/ava/entrypoints/cli.js', import.meta.url));

const keepsTimes = process.argv.includes('--keep-times');
const args = process.argv.slice(2).filter(arg => arg !== '--keep-times');
const isQuick = args[0] === '--quick';
const files = isQuick ? QUICK.files : args.length > 0 ? args : ALL_BUT_LONG;
const ava = spawn(process.execPath, [AVA, ...files], {
	cwd: ROOT,
	stdio: ['inherit', 'pipe', 'inherit'],
	env: {...process.env, ...(isQuick && QUICK.env), FAENA_METER: METER},
});
const begunAt = performance.now();
const begun = new Set<string>();
const counts = {passed: 0, failed: 0, skipped: 0};
let phase: 'passes' | 'fails' | 'details' = 'passes';
for await (const line of createInterface({input: ava.stdout})) print(line);
if (ava.exitCode === null && ava.signalCode === null) await once(ava, 'exit');
const times = readTimes(METER);
printTimes(times);
if (keepsTimes) keepTimes(times);
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = ava.exitCode ?? 1;

function print(line: string): void {
	const [, mark, title] = /^ {2}([✔✘-]) (.*)$/.exec(line) ?? [];
	// The details of all failures follow AVA's first rule.
	if (phase !== 'details' && mark !== undefined) {
		phase = mark === '✘' ? 'fails' : 'passes';
		counts[({'✔': 'passed', '✘': 'failed', '-': 'skipped'} as const)[mark as '✔' | '✘' | '-']]++;
		printFile(title as string);
	} else if (line === '  ─') phase = 'details';
	// A test that passed logs for those who run its file.
	const isOfPassed = phase === 'passes' && (mark !== undefined || /^ {4}/.test(line) || line === '');
	if (!isOfPassed) console.log(line);
}

function printFile(title: string): void {
	const file = /^(?:\[.*?\]:? )?(.*) › /.exec(title)?.[1];
	if (file === undefined || begun.has(file)) return;
	begun.add(file);
	console.log(`${String(Math.round((performance.now() - begunAt) / 1000)).padStart(5)} s  ${file}`);
}
