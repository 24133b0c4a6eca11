/** The tasks of all subjects: Faena looks them up by name, the pools run the default export. */
import {hash as work} from './trials.ts';

export function noop(): void {}

export function hash(rounds: number): string {
	return work(rounds);
}

export default function run({task, payload}: {task: 'noop' | 'hash'; payload: number}): unknown {
	return task === 'noop' ? noop() : hash(payload);
}
