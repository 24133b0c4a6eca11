import {type Engine, type OpenOptions, open} from '../../lib/index.ts';
import type {Case, Surroundings} from '../plan/suite.ts';
import {withFile} from './file.ts';
import {moduleUrl} from './module-url.ts';

export type Tasks = typeof import('./tasks.ts');

export const TASKS = moduleUrl('measure/tasks');

/** Calls `use` with an engine with default settings on a new file in the measured folder, and closes the engine afterwards. */
export async function withEngine<Result>(
	{durability, workers}: Pick<Case, 'durability' | 'workers'>,
	surroundings: Pick<Surroundings, 'folder'>,
	use: (faena: Engine<Tasks>, file: string) => Promise<Result>,
	options: Pick<OpenOptions, 'blobs'> = {},
): Promise<Result> {
	if (durability === 'memory') throw new Error('An engine keeps its jobs in a file: it has no lane in memory.');
	return withFile(surroundings, async file => {
		const faena = await open<Tasks>({queue: file, tasks: TASKS, workers, durability, ...options});
		try {
			return await use(faena, file);
		} finally {
			await faena.close();
		}
	});
}
