import {type Engine, type OpenOptions, open} from '../../lib/index.ts';
import type {Case, Surroundings} from '../plan/suite.ts';
import {moduleUrl} from './module-url.ts';
import {type Place, withPlace} from './place.ts';

export type Tasks = typeof import('./tasks.ts');

export const TASKS = moduleUrl('measure/tasks');

/** Calls `use` with an engine with default settings on a new queue, and closes the engine afterwards. */
export async function withEngine<Result>(
	given: Pick<Case, 'subject' | 'durability' | 'workers'>,
	surroundings: Pick<Surroundings, 'folder' | 'servers'>,
	use: (faena: Engine<Tasks>, place: Place) => Promise<Result>,
	options: Pick<OpenOptions, 'blobs'> = {},
): Promise<Result> {
	const {durability, workers} = given;
	if (durability === 'memory') throw new Error('An engine keeps its jobs in a file: it has no lane in memory.');
	return withPlace(given, surroundings, async place => {
		const faena = await open<Tasks>({queue: place.queue, tasks: TASKS, workers, durability, ...options});
		try {
			return await use(faena, place);
		} finally {
			await faena.close();
		}
	});
}
