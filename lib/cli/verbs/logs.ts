import {setTimeout as sleep} from 'node:timers/promises';
import {isDeepStrictEqual} from 'node:util';
import type {Command} from 'commander';
import type {JobId, LogLine} from '../../index.ts';
import {isTerminal} from '../../internal/words.ts';
import type {JobQueue} from '../../queue.ts';
import {toId} from '../flags/flag-values.ts';
import {noSuchJob, queueCommand, useQueue} from '../flags/queue-flag.ts';
import {inLine} from '../terminal/controls.ts';
import {formatTime, print, recordJson} from '../terminal/print.ts';

interface Flags {
	readonly queue: string;
	readonly follow?: true;
	readonly json?: true;
}

export function addLogs(program: Command): void {
	queueCommand(program, 'logs')
		.summary("print a job's log, and follow it")
		.description("Prints the lines that a job's task has written by ctx.log: the latest 200, the oldest first.")
		.argument('<id>', 'id of the job', toId)
		.option('-f, --follow', 'go on with new lines until the job has ended')
		.option('--json', 'print a line of JSON for each')
		.action((id: JobId, flags: Flags) => useQueue(flags.queue, queue => printLogs(queue, id, flags), {readOnly: true}));
}

/** The store keeps what a task logs within 100 ms of it. */
const LOOK_EVERY_MS = 200;

async function printLogs(queue: JobQueue, id: JobId, {queue: file, follow, json}: Flags): Promise<void> {
	let printed: readonly LogLine[] = [];
	for (;;) {
		const [job] = (await queue.store.jobs({ids: [id]}, {}, {logs: true})).jobs;
		if (!job) throw noSuchJob(file, id);
		const {status, logs: lines = []} = job;
		const text = newLines(printed, lines).map(line => (json ? `${recordJson(line)}\n` : `${describeLine(line)}\n`));
		if (text.length > 0) await print(text.join(''));
		printed = lines;
		if (!follow || isTerminal(status)) return;
		await sleep(LOOK_EVERY_MS);
	}
}

/** The lines that came after those before. The store drops the oldest ones, so their number says nothing. */
export function newLines(before: readonly LogLine[], now: readonly LogLine[]): readonly LogLine[] {
	for (let dropped = 0; dropped < before.length; dropped++) {
		const kept = before.slice(dropped);
		if (isDeepStrictEqual(kept, now.slice(0, kept.length))) return now.slice(kept.length);
	}
	return now;
}

function describeLine({at, level, text}: LogLine): string {
	return `${formatTime(at)}  ${level === 'info' ? '' : `${level}: `}${inLine(text)}`;
}
