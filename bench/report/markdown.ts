import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import {discardedSections} from './discarded.ts';
import {granularitySection} from './granularity.ts';
import {inLines} from './table.ts';
import {trialSections} from './trials.ts';

/** All tables of a run, in Markdown. */
export function report(run: Run): string {
	const parts = [...introduction(run), ...granularitySection(run), ...trialSections(run), ...discardedSections(run)];
	return `${parts.map(inLines).join('\n\n')}\n`;
}

function introduction(run: Run): string[] {
	const {plan, run: id, seed, at, machine, measured} = run;
	const blocks = new Set(measured.map(({block}) => block)).size;
	return [
		`Plan \`${plan}\`, run \`${id}\` of ${at.slice(0, 10)}, seed ${seed}, commit \`${machine.commit}\`.`,
		machineOf(run),
		`Figures are medians over ${blocks} ${blocks === 1 ? 'block' : 'blocks'}, with 95 % intervals (bootstrap) in parentheses. Ratios compare measurements of the same block.`,
	];
}

export function machineOf({machine}: Run): string {
	const {processors, model, memoryGib, system, node, sqlite, fileSystem, fsyncMs} = machine;
	return `${processors} processors (${model}), ${show(memoryGib)} GiB, ${system}, Node.js ${node}, SQLite ${sqlite}, ${fileSystem}; a write of 4 KiB with its fsync takes ${show(fsyncMs)} ms (median).`;
}
