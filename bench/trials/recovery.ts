import {fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {sharedMs} from '../measure/clock.ts';
import {withFile} from '../measure/file.ts';
import {moduleUrl} from '../measure/module-url.ts';
import type {Case, Measurement, Surroundings} from '../plan/suite.ts';

/**
 * Measures the restart after a crash. A process fills a queue, works on it, and is killed (SIGKILL) under full load. Another process
 * then opens the file. The trial measures the phases until its first job starts and its first result is durable, and checks that it
 * finishes all jobs, each once.
 */
export async function recovery(given: Case, surroundings: Surroundings): Promise<Measurement> {
	return withFile(surroundings, async file => {
		await killAtWork(file, given);
		return startAgain(file, given, surroundings);
	});
}

async function killAtWork(file: string, given: Case): Promise<void> {
	const victim = fork(fileURLToPath(moduleUrl('trials/recovery-victim')), [file, JSON.stringify(given)]);
	const ended = new Promise<[code: number | null, signal: string | null]>(resolve => victim.once('exit', (...how) => resolve(how)));
	victim.once('message', () => victim.kill('SIGKILL'));
	const [code, signal] = await ended;
	if (signal !== 'SIGKILL') throw new Error(`The process that was to be killed at work ended by itself, with ${code ?? signal}`);
}

function startAgain(file: string, given: Case, surroundings: Surroundings): Promise<Measurement> {
	return new Promise((resolve, reject) => {
		const path = fileURLToPath(moduleUrl('trials/recovery-start'));
		const program = fork(path, [String(sharedMs()), file, JSON.stringify(given), JSON.stringify(surroundings)]);
		let measurement: Measurement | undefined;
		program.once('message', message => {
			measurement = message as Measurement;
		});
		program.once('exit', code => (measurement && code === 0 ? resolve(measurement) : reject(new Error(`The process that was to recover ended with ${code}`))));
	});
}
