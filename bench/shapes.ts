/**
 * How fast jobs that wait for each other run, beside as many jobs that wait for none: `node bench/shapes.ts [BLOCKS] [FOLDER]`, by default 5 blocks in
 * the working directory. Each block measures all shapes, in a new order, each in a process of its own. Prints the medians.
 */
import {execFile} from 'node:child_process';
import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {memoryUsage} from 'node:process';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {type Engine, open} from '../lib/index.ts';
import {intervalOf, median} from './analyse/statistics.ts';
import {moduleUrl} from './measure/module-url.ts';
import {chanceOf, shuffle} from './plan/chance.ts';

type Tasks = typeof import('./measure/tasks.ts');

/** What a shape does, and with how many jobs. */
type Shape = (faena: Engine<Tasks>) => Promise<number>;

const SHAPES: Readonly<Record<string, Shape>> = {
	'100,000 jobs that wait for none': faena => runFlow(faena, flow => flow.map('identity', numbers(100_000))),
	'50,000 jobs, and 50,000 that wait for one each': faena => runFlow(faena, flow => flow.map('identity', flow.map('identity', numbers(50_000)))),
	'a fan-in of 50,000': faena => runFlow(faena, flow => flow.job('count', flow.map('identity', numbers(50_000)))),
	'25,000 diamonds of 4 jobs': faena =>
		runFlow(faena, flow => {
			for (const number of numbers(25_000)) {
				const top = flow.job('identity', number);
				flow.job('count', [flow.job('identity', top), flow.job('identity', top)]);
			}
		}),
	'a lattice of 300 × 300': faena =>
		runFlow(faena, flow => {
			let above: ReturnType<typeof flow.job<'count'>>[] = [];
			for (let row = 0; row < 300; row++) {
				const own: typeof above = [];
				for (let column = 0; column < 300; column++) own.push(flow.job('count', [own[column - 1] ?? 0, above[column] ?? 0]));
				above = own;
			}
		}),
	'a chain of 10,000': faena =>
		runFlow(faena, flow => {
			let last = flow.job('identity', 0);
			for (let job = 1; job < 10_000; job++) last = flow.job('identity', last);
		}),
	'a pipe of 3 stages, 100,000 items': async faena => 3 * (await faena.pipe(numbers(100_000), 'identity', 'identity', 'identity').run()),
};

const shape = SHAPES[process.argv[2] ?? ''];
if (shape) await measure(shape, process.argv[3] ?? '.');
else await measureAll(Number(process.argv[2] ?? 5), process.argv[3] ?? '.');

async function runFlow(faena: Engine<Tasks>, build: (flow: ReturnType<Engine<Tasks>['newFlow']>) => unknown): Promise<number> {
	const flow = faena.newFlow('shape');
	build(flow);
	return (await (await flow.enqueue()).ended()).completed;
}

function numbers(count: number): number[] {
	return Array.from({length: count}, (_, index) => index);
}

/** Prints jobs per second, with the building of the flow, and the memory of the process, after a warm-up. */
async function measure(run: Shape, folder: string): Promise<void> {
	const queue = join(folder, `shapes-${process.pid}.db`);
	const faena = await open<Tasks>({queue, tasks: moduleUrl('measure/tasks')});
	for (let round = 0; round < 10; round++) await faena.map('identity', numbers(10_000)).toArray();
	const before = (await faena.counts()).completed;
	const start = performance.now();
	const jobs = await run(faena);
	const seconds = (performance.now() - start) / 1000;
	const counts = await faena.counts();
	if (counts.completed !== before + jobs || counts.blocked + counts.dead + counts.cancelled > 0) throw new Error(`${JSON.stringify(counts)}: void`);
	console.log(JSON.stringify({jobs, rate: jobs / seconds, mebibytes: memoryUsage().rss / 1024 ** 2}));
	await faena.close();
	for (const suffix of ['', '-wal', '-shm']) rmSync(queue + suffix, {force: true});
}

interface Figures {
	readonly jobs: number;
	readonly rate: number;
	readonly mebibytes: number;
}

async function measureAll(blocks: number, folder: string): Promise<void> {
	const figures = new Map(Object.keys(SHAPES).map(name => [name, [] as Figures[]]));
	const chance = chanceOf(Date.now() % 2 ** 31);
	for (let block = 0; block < blocks; block++) {
		for (const name of shuffle(Object.keys(SHAPES), chance)) {
			const {stdout} = await promisify(execFile)(process.execPath, [fileURLToPath(import.meta.url), name, folder]);
			figures.get(name)?.push(JSON.parse(stdout) as Figures);
		}
	}
	const [independent = []] = figures.values();
	console.log('| Shape | Jobs | Jobs/s | Ratio to the first | Memory (MiB) |\n| --- | --- | --- | --- | --- |');
	for (const [name, runs] of figures) {
		const ratio = intervalOf(
			runs.map(({rate}, block) => rate / (independent[block] as Figures).rate),
			chance,
		);
		const columns = [
			name,
			(runs[0] as Figures).jobs.toLocaleString('en-US'),
			Number(median(runs.map(({rate}) => rate)).toPrecision(3)).toLocaleString('en-US'),
			`${ratio.median.toPrecision(3)} (${ratio.low.toPrecision(3)}–${ratio.high.toPrecision(3)})`,
			median(runs.map(({mebibytes}) => mebibytes)).toFixed(0),
		];
		console.log(`| ${columns.join(' | ')} |`);
	}
}
