import {Job} from 'sidequest';
import type {TaskName} from '../../plan/suite.ts';
import {Executions} from './executions.ts';

export class BenchJob extends Job {
	run(task: TaskName, payload: unknown): number {
		return new Executions(task).execute(payload);
	}
}
