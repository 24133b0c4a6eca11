import type {Command} from 'commander';
import type {Counts, JobStatus} from '../../index.ts';
import {FaenaError, pages, STATUSES, statusSummary} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {batchOf, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {count, print, recordJson} from '../terminal/print.ts';
import {table} from '../terminal/table.ts';
import {FlowGraph, type GraphNode} from './flow-graph.ts';

export function addFlow(program: Command): void {
	queueCommand(program, 'flow')
		.summary('show the jobs of a flow as a tree')
		.description(
			'Shows the jobs of a flow, how they wait for each other, and how far they are. Jobs that are alike share a line.\n' +
				'A job that waits for several others is below the first of them; the others name it with an arrow.',
		)
		.argument('<name>', 'name of the flow')
		.option('--mermaid', 'print a flowchart for Mermaid, which GitHub and many editors draw')
		.option('--json', 'print one line of JSON, with all jobs of a kind as one node')
		.action(async (name: string, {queue: file, mermaid, json}: {readonly queue: string; readonly mermaid?: true; readonly json?: true}) => {
			if (mermaid && json) throw new FaenaError('BadOption', 'Give either --mermaid or --json.');
			const flow = await useQueue(file, queue => readFlow(queue, name), {readOnly: true});
			await print(json ? `${recordJson(toPlain(flow))}\n` : mermaid ? toMermaid(flow) : toTree(flow), {hasStatuses: !json && !mermaid});
		});
}

interface ShownFlow {
	readonly name: string;
	readonly counts: Counts;
	readonly isWhole: boolean;
	readonly nodes: readonly GraphNode[];
}

const PAGE_JOBS = 1000;

async function readFlow(queue: JobQueue, name: string): Promise<ShownFlow> {
	const {flow, stages, counts, total} = await batchOf(queue, name);
	if (!flow) throw new FaenaError('NoSuchBatch', `The batch ${JSON.stringify(name)} is ${stages ? 'a pipe' : 'a map'}, not a flow; see faena status --batch.`);
	const graph = new FlowGraph();
	for await (const {jobs} of pages(after => queue.store.jobs({batch: name}, {after, limit: PAGE_JOBS}, {edges: true}))) for (const job of jobs) graph.add(job);
	return {name, counts, isWhole: total !== undefined, nodes: graph.connect()};
}

function toPlain({nodes, ...flow}: ShownFlow): object {
	return {...flow, nodes: nodes.map(({statuses, ...node}) => ({...node, counts: Object.fromEntries(statuses)}))};
}

function titleOf({task, key, jobs}: GraphNode): string {
	return `${inLine(task)}${jobs > 1 ? ` ×${count(jobs)}` : ''}${key === undefined ? '' : ` (${inLine(key)})`}`;
}

function statusOf({jobs, statuses, stale}: GraphNode): string {
	if (jobs === 1) return `${[...statuses.keys()][0] ?? ''}${stale > 0 ? ', stale' : ''}`;
	const counts = STATUSES.flatMap(status => (statuses.has(status) ? [`${count(statuses.get(status) as number)} ${status}`] : []));
	return [...counts, ...(stale > 0 ? [`${count(stale)} stale`] : [])].join(', ');
}

/** More nodes than this are not shown in a tree, and none at a greater depth. */
const MAX_SHOWN = 200;
const MAX_DEPTH = 20;

function toTree({name, counts, isWhole, nodes}: ShownFlow): string {
	const children = childrenOf(nodes);
	const lines: [title: string, status: string][] = [];
	const shown = new Set<number>();
	const show = (index: number, lead: string, next: string, depth: number) => {
		const node = nodes[index] as GraphNode;
		if (shown.has(index)) return void lines.push([`${lead}↑ ${titleOf(node)}`, 'above']);
		shown.add(index);
		lines.push([`${lead}${titleOf(node)}`, describe(node, index, depth === 0)]);
		const below = children[index] as readonly number[];
		for (const [at, child] of below.entries()) {
			if (lines.length >= MAX_SHOWN || depth >= MAX_DEPTH) return;
			const isLast = at === below.length - 1;
			show(child, `${next}${isLast ? '└─ ' : '├─ '}`, `${next}${isLast ? '   ' : '│  '}`, depth + 1);
		}
	};
	for (const [index, {parents}] of nodes.entries()) if (parents.every(parent => parent === index) && lines.length < MAX_SHOWN) show(index, '', '', 0);
	const left = nodes.length - shown.size;
	return [
		`${inLine(name)}: ${statusSummary(counts)}${isWhole ? '' : '; it is not enqueued wholly, so none runs'}`,
		`${table(lines)}${left > 0 ? `and ${count(left)} more; all with --json\n` : ''}`,
	].join('\n');
}

/** By index, the nodes that wait for each node, except the node itself. */
function childrenOf(nodes: readonly GraphNode[]): readonly (readonly number[])[] {
	const children = nodes.map((): number[] => []);
	for (const [index, {parents}] of nodes.entries()) for (const parent of parents) if (parent !== index) children[parent]?.push(index);
	return children;
}

/** For instance `2 completed, 1 running  one for each; after job 17`. */
function describe(node: GraphNode, index: number, isRoot: boolean): string {
	const isChain = node.parents.includes(index);
	const how = [
		isChain && 'one after the other',
		node.isEach && !isRoot && node.parents.some(parent => parent !== index) && !isChain && 'one for each',
		node.outside.length > 0 && `after job ${node.outside.join(', ')} outside the flow`,
	].filter(Boolean);
	return [statusOf(node), ...(how.length > 0 ? [`(${how.join('; ')})`] : [])].join('  ');
}

/** The colour of a node: of the first of these statuses that it has. */
const COLOURS: readonly (readonly [JobStatus, string])[] = [
	['dead', 'fill:#ffd7d5,stroke:#a40e26'],
	['failed', 'fill:#ffe7c7,stroke:#953800'],
	['running', 'fill:#d7e8ff,stroke:#0550ae'],
	['cancelled', 'fill:#eaeef2,stroke:#57606a'],
	['pending', 'fill:#fff8c5,stroke:#7d4e00'],
	['blocked', 'fill:#f6f8fa,stroke:#8c959f'],
	['completed', 'fill:#dafbe1,stroke:#116329'],
];

function toMermaid({nodes}: ShownFlow): string {
	const lines = ['flowchart TD'];
	for (const [index, node] of nodes.entries()) {
		const colour = COLOURS.find(([status]) => node.statuses.has(status))?.[0] ?? 'blocked';
		lines.push(`\tn${index}["${forMermaid(titleOf(node))}<br>${statusOf(node)}"]:::${colour}`);
		for (const parent of node.parents) lines.push(`\tn${parent} -->${node.isEach && parent !== index ? '|each|' : ''} n${index}`);
		for (const id of node.outside) lines.push(`\tj${id}(["job ${id}"]) --> n${index}`);
	}
	return [...lines, ...COLOURS.map(([status, style]) => `\tclassDef ${status} ${style}`), ''].join('\n');
}

/** Characters that end a label, or are markup in it, as entities. */
function forMermaid(text: string): string {
	return text.replace(/["<>#&]/g, character => `#${character.charCodeAt(0)};`);
}
