import type {TaskContext} from '../../../lib/job/task/task.ts';
import {seeded} from '../../fixtures/random.ts';
import {type Specimen, specimen} from './specimens.ts';

/** What a job of `perform` does with the specimen of the seed. */
export const ROLES = ['result', 'thrown', 'rejected', 'cause', 'checkpoint', 'made', 'logged'] as const;
export type Role = (typeof ROLES)[number];

export interface Part {
	readonly seed: number;
	readonly role: Role;
}

export function echo(payload: unknown): unknown {
	return payload;
}

export function perform({seed, role}: Part, context: TaskContext): unknown {
	return PARTS[role](specimen(seeded(seed)), context, seed);
}

const PARTS: Readonly<Record<Role, (given: Specimen, context: TaskContext, seed: number) => unknown>> = {
	result: ({value}) => value,
	thrown({value}) {
		throw value;
	},
	async rejected({value}) {
		await undefined;
		throw value;
	},
	cause({value}) {
		throw new Error('outer', {cause: value});
	},
	checkpoint(given, context) {
		if (context.job.attempts > 0 && 'back' in given) return context.resumeFrom;
		context.checkpoint(given.value);
		throw new Error('kept');
	},
	made: ({value}, context, seed) => context.enqueue('echo', value, {key: String(seed)}),
	logged: ({value}, context) => context.log(value),
};
