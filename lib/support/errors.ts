/** Every way Faena refuses or reports, as the `code` of a {@link FaenaError}. */
export type ErrorCode =
	/** An option or argument is missing, of the wrong type, out of range, or misspelt. */
	| 'BadOption'
	/** The tasks module is missing, throws while loading, or exports no function. */
	| 'BadTasksModule'
	/** A task's `setup` threw; `cause` is what. */
	| 'SetupFailed'
	/** No task of that name among the module's exports. */
	| 'UnknownTask'
	/** A payload, result or checkpoint holds something that would not come back as it went in. */
	| 'NotEncodable'
	/** A payload, result or checkpoint is over the size limit, or larger than SQLite can hold; or a task enqueues too much. */
	| 'TooLarge'
	/** The key names a job with another payload. */
	| 'KeyConflict'
	/** The batch name belongs to another task. */
	| 'BatchConflict'
	/** Another map of this batch is under way, here or in another program. */
	| 'BatchInUse'
	/** Jobs of the batch are running, so that it can't be deleted. */
	| 'BatchRunning'
	/** No batch has this name; or it was deleted while a map of it was under way. */
	| 'NoSuchBatch'
	/** No job has this id. */
	| 'NoSuchJob'
	/** The awaited job died; `cause` is the task's error. */
	| 'JobFailed'
	/** The awaited job was cancelled. */
	| 'JobCancelled'
	/** The job did not end within the time its caller was ready to wait. */
	| 'WaitTimeout'
	/** So many items of a map failed that its option `halt` or `maxFailures` ended it; `cause` is the last one's error. */
	| 'Halted'
	/** The engine or queue was closed, or the job has ended. */
	| 'Closed'
	/** The database can't be used: missing folder, wrong kind of file, damaged, not writable; or its file was deleted or replaced. */
	| 'BadDatabase'
	/** The database refuses to store a value of this type, or rows that another program has written or deleted are in the way. What has nothing to do with it goes on. */
	| 'BadRow'
	/** The disk is full: nothing of this was kept. What runs goes on as soon as there is room. */
	| 'StorageFull'
	/** Another program held the database's lock for longer than we wait. */
	| 'DatabaseBusy'
	/** The database was written by a newer Faena. */
	| 'NewerDatabase'
	/** A commit failed in a way that leaves open whether it took effect; repeat with the same `key`. */
	| 'OutcomeUnknown'
	/** The dispatcher met an error of its own, in `cause`, and mostly stops by it: then every later call says the same. */
	| 'DispatcherFailed'
	/** This Node.js is too old. */
	| 'UnsupportedNode';

/**
 * The one error class of Faena. `code` says which case it is and never changes between releases;
 * `message` is a sentence for people; `cause` keeps the error underneath, where there is one.
 */
export class FaenaError extends Error {
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
		this.name = 'FaenaError';
	}
}
