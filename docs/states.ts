/**
 * Draws `docs/states.svg`, the states of a job and the moves between them, from `TRANSITIONS`: `npm run states`. Graphviz places the
 * states and routes the arrows.
 */
import {writeFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {instance} from '@viz-js/viz';
import {type JobStatus, TRANSITIONS} from '../lib/job/job.ts';

/** Characters in a line of a label. */
const LINE_LENGTH = 26;
const [INK, PAPER] = ['#30557f', '#eef3fb'];

interface Move {
	readonly from: JobStatus;
	readonly to: JobStatus;
	readonly cause: string;
}

export async function draw(transitions: Readonly<Record<JobStatus, Readonly<Partial<Record<JobStatus, string>>>>> = TRANSITIONS): Promise<string> {
	const moves = Object.entries(transitions).flatMap(([from, targets]) => Object.entries(targets).map(([to, cause]) => ({from, to, cause}) as Move));
	const graph = `digraph "The states of a job" {
		graph [rankdir=LR ranksep=0.2 nodesep=0.2 bgcolor=white pad=0.2]
		node [fontname=Helvetica shape=box style="rounded,filled" color="${INK}" fillcolor="${PAPER}" margin="0.2,0.1"]
		edge [color="${INK}" arrowsize=0.8]
		${moves.map(toArrow).join('\n')}
	}`;
	return (await instance()).renderString(graph, {format: 'svg'});
}

/** A label is a node of its own between two halves of its arrow, so that Graphviz keeps other arrows off it. */
function toArrow({from, to, cause}: Move): string {
	const label = `"${from} to ${to}"`;
	const node = `${label} [penwidth=0 fillcolor=white fontsize=10 margin="0.14,0.04" label="${toLines(cause)}"]`;
	// Moves back are drawn backwards, so that blocked and pending stay on the left.
	if (to === 'blocked' || (to === 'pending' && from !== 'blocked')) return `${node}; ${to} -> ${label} [dir=back]; ${label} -> ${from} [dir=none]`;
	return `${node}; ${from} -> ${label} [dir=none]; ${label} -> ${to}`;
}

function toLines(cause: string): string {
	const words = cause.replace(/^settle: /, '').replaceAll('; ', ', ');
	return words.replaceAll(new RegExp(`(.{1,${LINE_LENGTH}})( |$)`, 'g'), '$1\\n').replace(/\\n$/, '');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(new URL('./states.svg', import.meta.url), await draw());
