/**
 * The rows of a queue as `faena move` takes them from one store to another: those of the tables of PostgreSQL, which SQLite's can be written as. Several
 * jobs with consecutive ids share a row, as there. Owners, claims, and changes under way have none: nobody uses a queue that moves.
 */

/** How a column is stored. `value`: an encoded value, text or bytes. */
export type ColumnType = 'number' | 'real' | 'text' | 'boolean' | 'json' | 'bytes' | 'value';

export interface MovedTable {
	readonly columns: readonly {readonly name: string; readonly type: ColumnType}[];
	/** The number of columns, from the first one, that are its key. */
	readonly keys: number;
}

/** `columns`: their names, each with `:` and its type unless it is a number. */
function table(columns: string, keys = 1): MovedTable {
	return {
		columns: columns.split(' ').map(each => {
			const [name, type = 'number'] = each.split(':') as [string, ColumnType?];
			return {name, type};
		}),
		keys,
	};
}

/** In the order in which they move: what others name comes first. */
export const MOVED_TABLES = {
	task: table('id name:text paused:boolean'),
	scope: table('id name:text'),
	policy: table('id spec:text'),
	// The job to enqueue when a batch completes names its task and has its policy, as a schedule does.
	batch: table('id name:text task created_at total started_at completed_at closed_at on_complete:json completion_job marks:json shape:json'),
	schedule: table('id name:text spec:json value:value created_at next_at from_end:boolean paused:boolean last_job last_at runs skipped missed'),
	job: table('first last task policy priority created_at batch first_number keys:text value:value'),
	key: table('space key:text id', 2),
	key_run: table('batch first last first_id', 2),
	ready: table('first last lane rank batch executions'),
	waiting: table('first last task rank batch executions run_at failed:boolean'),
	blocked: table('first last task rank batch executions run_at parents'),
	outcome: table(
		'first last task rank batch execution status ended_at times:bytes value:value worker:text earliest_start latest_start shortest_ms:real longest_ms:real',
	),
	failure_state: table('id attempts suspicion crashes delays execution ended_at times:bytes worker:text failure:text started_at duration_ms:real'),
	execution: table('id execution status ended_at times:bytes worker:text failure:text', 2),
	fingerprint: table('id value:text'),
	progress: table('id done:real total:real at'),
	checkpoint: table('id execution at value:value'),
	log: table('seq id execution at level:text text:text'),
	expiry: table('id expires_ms expires_at'),
	edge: table('id parent_first parent_last child_first child_last is_each:boolean runs_on_dead:boolean place'),
	scheduled: table('id at'),
	used_result: table('parent first last digest:text is_stale:boolean', 2),
} satisfies Record<string, MovedTable>;

export type TableName = keyof typeof MOVED_TABLES;

export type MovedValue = number | string | boolean | Uint8Array | null;

/** Values by the names of the table's columns. */
export type MovedRow = Readonly<Record<string, MovedValue>>;

/** Where the next page begins: after the row with these values in the columns by which the rows are read. */
export type Cursor = readonly (number | string)[];

/** The most rows and bytes of a page, which is written in one transaction. A single row may have more bytes. */
export const MAX_PAGE = {rows: 2000, bytes: 8 * 1024 * 1024} as const;

/** How many jobs of a task, and of a batch, are in a state. */
export type JobCount = readonly [task: number, batch: number | null, state: number, jobs: number];

/** The last numbers that were given out. */
export interface LastNumbers {
	readonly job: number;
	readonly lease: number;
	readonly batch: number;
}
