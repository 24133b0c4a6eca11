/** The `code` of a {@link FaenaError}: one for each kind of error.
 * @example const mayPass: readonly ErrorCode[] = ['QueueFull', 'Unreachable', 'StorageFull']; */
export type ErrorCode =
	/** An option or argument is missing, of the wrong type, out of range, or misspelt. */
	| 'BadOption'
	/** The tasks module is missing, throws while loading, or exports no function. */
	| 'BadTasksModule'
	/** A task's `setup` threw; `cause` is its error. */
	| 'SetupFailed'
	/** The tasks module exports no task of this name. */
	| 'UnknownTask'
	/** A payload, result or checkpoint holds a value that decoding would not restore. */
	| 'NotEncodable'
	/** The schema of the task, its option `input`, refuses the payload; that of `output`, the result. */
	| 'InvalidPayload'
	| 'InvalidResult'
	/** A payload, result or checkpoint is larger than its size limit or than SQLite allows; or a task enqueues too many jobs or bytes. */
	| 'TooLarge'
	/** The key belongs to a job with another payload. */
	| 'KeyConflict'
	/** As many jobs are pending as `maxPending` allows. The error says when to try again. */
	| 'QueueFull'
	/** The batch name belongs to another task. */
	| 'BatchConflict'
	/** Another map of this batch is running, in this program or another one. */
	| 'BatchInUse'
	/** The batch can't be deleted, because jobs of it are running. */
	| 'BatchRunning'
	/** Another program claims jobs under this owner's name, and lives. */
	| 'OwnerInUse'
	/** No batch has this name; or the batch was deleted while its map was running. */
	| 'NoSuchBatch'
	| 'NoSuchSchedule'
	/** No job has this id. */
	| 'NoSuchJob'
	/** The awaited job died; `cause` is the task's error. */
	| 'JobFailed'
	/** The awaited job was cancelled. */
	| 'JobCancelled'
	/** A command of `ctx.exec()` ended with another exit code than 0, or by a signal. The error says which. */
	| 'CommandFailed'
	/** A command of `ctx.exec()` can't be started: there is no such file, or it may not be executed, or there is no such working directory. */
	| 'CommandNotStarted'
	/** The job did not end within the caller's `timeout`. */
	| 'WaitTimeout'
	/** The option `halt` ended a map, because too many items failed; `cause` is the error of the last one. */
	| 'Halted'
	/** The engine or queue was closed, or the job has ended. */
	| 'Closed'
	/** The database can't be used: its folder is missing, it is not a database, it is damaged or not writable; or its file was deleted or replaced. */
	| 'BadDatabase'
	/** The database refuses one value or row: the value's type is wrong, or another program wrote or deleted rows. Other jobs go on. */
	| 'BadRow'
	/** The disk is full, and the refused call stored nothing. Running jobs are settled as soon as there is room. */
	| 'StorageFull'
	/** Another program held the lock of the database for longer than Faena waits: 10 s. */
	| 'DatabaseBusy'
	/** The database's server can't be reached, has no connection left, or refuses work. The refused call stored nothing. Running jobs are settled once it is back. */
	| 'Unreachable'
	/** The database was written by a newer Faena. */
	| 'NewerDatabase'
	/** The queue has moved, or is moving, and can only be read: `faena move`. */
	| 'QueueMoved'
	/** A commit failed, and may have taken effect all the same. Repeat the call with the same `key`. */
	| 'OutcomeUnknown'
	/** The dispatcher failed by a defect of its own; `cause` is the error. Usually it stops, and every later call fails with this code. */
	| 'DispatcherFailed'
	/** This Node.js is too old. */
	| 'UnsupportedNode'
	/** Faena was bundled with the program: its threads start from files of the package. */
	| 'Bundled';

/**
 * Any error of Faena. `code` stays the same between releases, and tells which other fields it has; `message` is for people; `cause` is the error
 * underneath, if there is one.
 * @example if (error instanceof FaenaError && error.code === 'QueueFull') await sleep(error.retryAfterMs);
 */
export type FaenaError =
	| (Error &
			Without<FieldsOfCommand | 'issues'> & {
				/** `maxPending` allows no more jobs. */
				readonly code: 'QueueFull';
				/** The task of the refused job. */
				readonly task: string;
				/** How many jobs are pending, of this task or of all tasks, whichever has reached its limit. */
				readonly pending: number;
				/** The limit. */
				readonly limit: number;
				/** Milliseconds after which there may be room, from 1,000 to 3,600,000. An estimate by the mean run time of jobs in this engine. */
				readonly retryAfterMs: number;
			})
	| (Error &
			Without<FieldsOfQueue | 'issues'> & {
				/** A command of `ctx.exec()` failed. */
				readonly code: 'CommandFailed';
				/** Its exit code; `null` if a signal ended it. */
				readonly exitCode: number | null;
				/** The signal that ended it; `null` if none did. */
				readonly signal: string | null;
				/** The end of its stderr, at most 4,096 characters. */
				readonly stderr: string;
			})
	| (Error &
			Without<FieldsOfQueue | FieldsOfCommand> & {
				/** The schema of a task refuses a payload, or a result. */
				readonly code: 'InvalidPayload' | 'InvalidResult';
				/** What it refuses: `path` is as `amount` or `items.0.name`, and empty for the whole value. Empty if the schema threw. */
				readonly issues: readonly {readonly path: string; readonly message: string}[];
			})
	| (Error &
			Without<FieldsOfQueue | FieldsOfCommand | 'issues'> & {
				readonly code: Exclude<ErrorCode, 'QueueFull' | 'CommandFailed' | 'InvalidPayload' | 'InvalidResult'>;
			});

type FieldsOfQueue = 'task' | 'pending' | 'limit' | 'retryAfterMs';
type FieldsOfCommand = 'exitCode' | 'signal' | 'stderr';

/** Fields that an error lacks: a program may ask for them before it knows the code. */
type Without<Fields extends string> = {readonly [Field in Fields]?: undefined};

/** The one error class. {@link FaenaError} is its type outside: a union by `code`, which a class can't be, and from which none can be derived. */
export const CodedError = class FaenaError extends Error {
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
		this.name = 'FaenaError';
	}
};

/** The class of all errors of Faena; see the type of this name. */
export const FaenaError = CodedError as new (code: ErrorCode, message: string, options?: ErrorOptions) => FaenaError;
