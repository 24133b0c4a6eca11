import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {buffer} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {pick, seeded} from '../../fixtures/random.ts';
import {complaintOf, inputOf, optionOf} from './cli.ts';
import {MaintenanceResult, type Result, type Round, seedsOf} from './round.ts';

type Random = () => number;

const FAENA = fileURLToPath(new URL('../../../lib/cli/main.ts', import.meta.url));
const TASKS = fileURLToPath(new URL('./tasks.ts', import.meta.url));
const PATIENCE_MS = 120_000;

/** Maps as programs of their own, two at a time, over files or over lines of whatever comes on stdin. */
export async function fuzzCommands(round: Round): Promise<Result> {
	const findings = new MaintenanceResult();
	const seeds = seedsOf(round);
	const tryNext = async () => {
		for (const seed of seeds) await tryOne(seed, mkdtempSync(join(round.folder, 'command-')), findings);
	};
	await Promise.all([tryNext(), tryNext()]);
	return findings;
}

async function tryOne(seed: number, folder: string, findings: MaintenanceResult): Promise<void> {
	const random = seeded(seed);
	for (const name of ['a.txt', 'b [1].txt', '#.json']) writeFileSync(join(folder, name), name);
	const words = wordsOf(random);
	const child = spawn(process.execPath, [FAENA, ...words], {cwd: folder, stdio: 'pipe', timeout: PATIENCE_MS, killSignal: 'SIGKILL'});
	// It may end before it has read everything.
	child.stdin.on('error', () => undefined).end(inputOf(random));
	const [stdout, stderr] = [buffer(child.stdout), buffer(child.stderr)];
	const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
	findings.count(`${code ?? signal}`);
	const said = [(await stdout).toString(), (await stderr).toString()] as const;
	const complaint = code === null ? `it was ended by ${signal}` : complaintOf([...words, '--json'], code, ...said);
	if (complaint !== undefined) findings.complain(`command ${seed}: faena ${JSON.stringify(words)}`, `${complaint}\n${said.join('\n')}`);
}

const NAMES = ['-j', '--workers', '--isolation', '--timeout', '--max-attempts', '--batch', '--order', '--retry-failed', '--halt', '--quiet'];

function wordsOf(random: Random): string[] {
	const target = `${TASKS}#${pick(random, ['echo', 'echo', 'echo', 'perform', 'specimen'])}`;
	const items = pick(random, [['--ndjson'], ['--stdin'], ['*.txt'], ['**'], ['a.txt', '#.json'], ['none']]);
	const options = Array.from({length: pick(random, [0, 0, 1, 2])}, () => optionOf(random, NAMES));
	return ['map', target, ...items, ...options.flat()].map(word => word.replaceAll('\0', ''));
}
