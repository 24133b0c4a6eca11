/**
 * Rows name the task of a job, and its scope, by one number: {@link STRIDE} times the number of the scope, plus the number of the task's name. Without a
 * scope it is the number of the name. So all that moves and counts jobs by task keeps jobs of different scopes apart, and needs no other column.
 */

/** There are fewer names of tasks than this. */
const STRIDE = 2 ** 24;

export function inScope(name: number, scope: number): number {
	return scope * STRIDE + name;
}

/** The number of the task's name. */
export function nameOf(task: number): number {
	return task % STRIDE;
}

/** The number of the scope; 0 for none. */
export function scopeOf(task: number): number {
	return Math.floor(task / STRIDE);
}

/** The number of the task's name, in SQL. */
export function nameIn(task: string): string {
	return `(${task} & ${STRIDE - 1})`;
}

/** The number of the scope, in SQL; 0 for none. */
export function scopeIn(task: string): string {
	return `(${task} >> ${Math.log2(STRIDE)})`;
}
