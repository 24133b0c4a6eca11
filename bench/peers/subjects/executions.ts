import run from '../../measure/tasks.ts';
import type {TaskName} from '../../plan/suite.ts';
import type {Sums} from '../../subjects/subject.ts';

/** Runs jobs and adds up their results. A job that is executed twice counts twice, so that the run is void. */
export class Executions {
	readonly #task: TaskName;
	#completed = 0;
	#results = 0;

	constructor(task: TaskName) {
		this.#task = task;
	}

	/** Runs `identity` if the payload is a number: the warm-up has such jobs, whatever the case's task. */
	execute(payload: unknown): number {
		const result = run({task: typeof payload === 'number' ? 'identity' : this.#task, payload}) as number;
		this.#completed++;
		this.#results += result;
		return result;
	}

	sums(): Sums {
		return {completed: this.#completed, results: this.#results};
	}
}
