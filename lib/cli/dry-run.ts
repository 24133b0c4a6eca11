import {pipeline} from 'node:stream/promises';
import type {Item} from './inputs/items.ts';
import {ExitCode, escapeControls, printError} from './print.ts';
import {describeCommand, type Template} from './template/template.ts';

/** Prints the commands that would run, in the order of the input, each so that it can be pasted into a shell. Returns the exit code. */
export async function printCommands(items: Iterable<Item> | AsyncIterable<Item>, template: Template): Promise<number> {
	const left = {out: 0};
	try {
		await pipeline(commandsOf(items, template, left), process.stdout, {end: false});
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'EPIPE') return ExitCode.noReader;
		throw error;
	}
	return left.out === 0 ? ExitCode.done : ExitCode.someFailed;
}

/** A worker is known only when a job starts, so `{%}` is the first one. */
const SLOT = 1;

async function* commandsOf(items: Iterable<Item> | AsyncIterable<Item>, template: Template, left: {out: number}): AsyncGenerator<string> {
	for await (const {key, payload, sequence} of items) {
		try {
			yield escapeControls(`${describeCommand(template, payload, {sequence, slot: SLOT})}\n`);
		} catch (error) {
			left.out++;
			printError(`Item ${key}: ${(error as Error).message}`);
		}
	}
}
