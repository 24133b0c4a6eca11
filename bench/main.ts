/**
 * `npm run bench`: every trial with every subject, each in a fresh process, interleaved in rounds, and a table of medians.
 * Options: `--rounds N` (default 5), `--trial NAME` (may be repeated), `--folder DIR` for the databases (default: the
 * working folder, since /tmp may be memory), `--workers N`.
 */
import {execFile} from 'node:child_process';
import {appendFileSync, mkdirSync} from 'node:fs';
import {availableParallelism, cpus, totalmem} from 'node:os';
import {fileURLToPath} from 'node:url';
import {parseArgs, promisify} from 'node:util';
import {median} from './measure.ts';
import {calibrate, LABELS, type Measurement, type SubjectName, TRIALS, type Trial} from './trials.ts';

const values = parse();
const trials = TRIALS.filter(({name}) => !values.trial || values.trial.includes(name));
const measurements: Measurement[] = [];
const results = new URL('./results/', import.meta.url);
mkdirSync(results, {recursive: true});

for (let round = 1; round <= Number(values.rounds); round++) {
	const roundsPerMs = calibrate();
	for (const trial of trials) {
		// Which one comes first changes from round to round: a machine that warms up or tires favours nobody.
		for (const subject of rotate(trial.subjects, round)) {
			const measurement = await measure(trial, subject, Math.round(trial.workMs * roundsPerMs));
			measurements.push(measurement);
			appendFileSync(new URL('latest.jsonl', results), `${JSON.stringify({at: new Date().toISOString(), round, ...measurement})}\n`);
			process.stderr.write(`round ${round}  ${trial.name.padEnd(8)} ${subject.padEnd(9)} ${perSecond(measurement)} jobs/s\n`);
		}
	}
}

process.stdout.write(`${machine()}\n\n${trials.map(table).join('\n\n')}\n`);

function parse() {
	try {
		const {values: given} = parseArgs({
			options: {
				rounds: {type: 'string', default: '5'},
				trial: {type: 'string', multiple: true},
				folder: {type: 'string', default: process.cwd()},
				workers: {type: 'string', default: String(availableParallelism())},
			},
		});
		for (const name of ['rounds', 'workers'] as const)
			if (!/^[1-9]\d{0,3}$/.test(given[name])) throw new Error(`--${name} is a whole number from 1 to 9999; it got ${given[name]}`);
		const names = TRIALS.map(({name}) => name);
		const unknown = given.trial?.find(name => !names.includes(name));
		if (unknown !== undefined) throw new Error(`--trial is one of ${names.join(', ')}; it got ${unknown}`);
		return given;
	} catch (error) {
		console.error((error as Error).message);
		process.exit(2);
	}
}

async function measure({name}: Trial, subject: SubjectName, rounds: number): Promise<Measurement> {
	const one = fileURLToPath(new URL('./one.ts', import.meta.url));
	const {stdout} = await promisify(execFile)(process.execPath, [one, name, subject, values.workers, String(rounds), values.folder]);
	return JSON.parse(stdout) as Measurement;
}

function rotate<Each>(list: readonly Each[], by: number): Each[] {
	return list.map((_, index) => list[(index + by) % list.length] as Each);
}

function table(trial: Trial): string {
	return trial.name === 'latency' ? latencyTable(trial) : throughputTable(trial);
}

function throughputTable(trial: Trial): string {
	const rows = trial.subjects.map(subject => {
		const own = of(trial, subject);
		const ratios = own.map((each, round) => (of(trial, trial.base)[round] as Measurement).wallMs / each.wallMs);
		const loop = own.flatMap(({loopP99Ms}) => loopP99Ms ?? []);
		return [
			LABELS[subject],
			perSecondOf(own),
			`${median(own.map(({cpuMs, jobs}) => (cpuMs * 1000) / jobs)).toFixed(trial.workMs === 0 ? 1 : 0)} µs`,
			median(ratios).toFixed(3),
			`${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`,
			loop.length > 0 ? `${median(loop).toFixed(1)} ms` : '',
		];
	});
	return markdown(
		`${trial.jobs.toLocaleString('en')} ${trial.what}`,
		['jobs/s', 'CPU per job', `× ${LABELS[trial.base]}`, 'range', 'caller’s loop delay p99'],
		rows,
	);
}

function latencyTable(trial: Trial): string {
	const own = of(trial, 'faena');
	const latency = median(own.map(({latencyMs}) => latencyMs ?? 0));
	const fsync = median(own.map(({fsyncMs}) => fsyncMs ?? 0));
	const beyond = median(own.map(each => (each.latencyMs ?? 0) - 3 * (each.fsyncMs ?? 0)));
	return markdown(trial.what, ['median', 'one fsync here', 'beyond 3 fsyncs'], [[LABELS.faena, ms(latency), ms(fsync), ms(beyond)]]);
}

function of(trial: Trial, subject: SubjectName): Measurement[] {
	return measurements.filter(each => each.trial === trial.name && each.subject === subject);
}

function perSecond({jobs, wallMs}: Measurement): string {
	return Math.round((jobs / wallMs) * 1000).toLocaleString('en');
}

function perSecondOf(own: readonly Measurement[]): string {
	return Math.round(median(own.map(({jobs, wallMs}) => (jobs / wallMs) * 1000))).toLocaleString('en');
}

function ms(value: number): string {
	return `${value.toFixed(2)} ms`;
}

function markdown(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
	return [line([title, ...columns]), line(['---', ...columns.map(() => '---:')]), ...rows.map(line)].join('\n');
}

function machine(): string {
	const [cpu] = cpus();
	return `${availableParallelism()} × ${cpu?.model ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${values.workers} workers, medians of ${values.rounds} rounds.`;
}
