/**
 * `npm test [-- FILES]` and `npm run test:quick`: runs all tests but the longest, these files, or the quick ones, by AVA, and prints a line for each file, when its first test has ended,
 * what AVA prints of failures, and the ten files that took longest. `npx ava FILE` prints each test of a file. With `--keep` first, the times of the files become those
 * by which later runs begin with the longest.
 */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {ALL_BUT_LONG, QUICK} from './selections.ts';
import {byLength, keepTimes, parseTimes} from './times/times.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Longer than any test takes. */
const SILENCE_MS = Number(process.env['FAENA_TEST_SILENCE'] ?? 12 * 60_000);
const AVA = fileURLToPath(new URL('../node_modules/ava/entrypoints/cli.js', import.meta.url));

const words = process.argv.slice(2);
const keeps = words[0] === '--keep';
const args = keeps ? words.slice(1) : words;
const isQuick = args[0] === '--quick';
const files = isQuick ? QUICK.files : args.length > 0 ? args : ALL_BUT_LONG;
const folder = mkdtempSync(join(tmpdir(), 'faena-run-'));
const meter = join(folder, 'times');
const ava = spawn(process.execPath, [AVA, ...files], {
	cwd: ROOT,
	stdio: ['inherit', 'pipe', 'inherit'],
	env: {...process.env, FAENA_METER: meter, ...(isQuick && QUICK.env)},
});
const begunAt = performance.now();
const begun = new Set<string>();
const counts = {passed: 0, failed: 0, skipped: 0};
let phase: 'passes' | 'fails' | 'details' = 'passes';
// AVA's own time-out ends once it has passed during a test that asked for more. An interrupted AVA lists the tests that have not ended.
const silence = setTimeout(() => {
	console.log(`No test has ended for ${SILENCE_MS / 60_000} minutes.`);
	ava.kill('SIGINT');
}, SILENCE_MS);
for await (const line of createInterface({input: ava.stdout})) {
	silence.refresh();
	print(line);
}
clearTimeout(silence);
if (ava.exitCode === null && ava.signalCode === null) await once(ava, 'exit');
tellTimes();
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

function tellTimes(): void {
	const times = parseTimes(existsSync(meter) ? readFileSync(meter, 'utf8') : '');
	rmSync(folder, {recursive: true, force: true});
	const seconds = (ms: number) => String(Math.round(ms / 1000)).padStart(5);
	const longest = [...times.keys()].sort(byLength(times)).slice(0, 10);
	console.log('\nTime and processor time in seconds, of the ten that took longest and of all:');
	for (const file of longest) console.log(`${seconds(times.get(file)?.wallMs ?? 0)} ${seconds(times.get(file)?.cpuMs ?? 0)}  ${file}`);
	const all = [...times.values()].reduce((sum, {cpuMs}) => sum + cpuMs, 0);
	console.log(`${seconds(performance.now() - begunAt)} ${seconds(all)}  ${times.size} files`);
	if (keeps) keepTimes(times);
}
