import run from '../../measure/tasks.ts';
import type {TaskName} from '../../plan/suite.ts';
import type {Sums} from '../../subjects/subject.ts';

/** Runs jobs, and adds up what was run: a job that is executed twice counts twice, so that it makes the run void. */
export class Executions {
	readonly #task: TaskName;
	#completed = 0;
	#results = 0;

	constructor(task: TaskName) {
		this.#task = task;
	}

	/** Payloads that are numbers are `identity`'s, also where the case is about another task: the warm-up has such. */
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
