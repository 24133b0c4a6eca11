/** What `faena doctor` learns of a queue beside its jobs. */
export interface Inspection {
	/** For instance `SQLite 3.50.4`. */
	readonly engine: string;
	/** The first damage that was found, on one line. */
	readonly damage?: string | undefined;
	/** Settings on which it depends whether a commit survives a crash, by name. */
	readonly settings: Readonly<Record<string, string>>;
	readonly schema: InspectedSchema;
	readonly owners: readonly InspectedOwner[];
	readonly move?: InspectedMove | undefined;
	/** Of a queue in a file. */
	readonly file?: InspectedFile;
}

/** A move of the queue, which only lets it be read. */
export interface InspectedMove {
	/** Where it goes, or has gone; or from where it arrives. */
	readonly place: string;
	readonly isArriving: boolean;
}

/** An owner, alive or dead. */
export interface InspectedOwner {
	readonly name: string;
	/** Since its last heartbeat. */
	readonly silentMs: number;
	/** Jobs that it has claimed. */
	readonly jobs: number;
}

/** The file of a queue, and the disk where it is. */
export interface InspectedFile {
	readonly databaseBytes: number;
	/** Of these, the space of deleted jobs. */
	readonly freeBytes: number;
	readonly logBytes: number;
	readonly diskFreeBytes: number;
	/** A file system where locks, or what a commit promises, can't be relied on; `undefined` for all others, and where the system does not tell. */
	readonly unsafeFileSystem?: 'network' | 'memory' | undefined;
}

/** What a queue was made for. */
export interface InspectedSchema {
	/** The version of its tables. */
	readonly version: number;
	/** Of PostgreSQL: whether the functions of this release are there. */
	readonly isPrepared?: boolean;
	/** Of PostgreSQL: the releases of Faena whose functions are there, the latest one first. */
	readonly releases?: readonly InspectedRelease[];
}

/** The functions of a release. */
export interface InspectedRelease {
	/** For instance `1.2.3`. */
	readonly release: string;
	/** The schema of its functions. */
	readonly functions: string;
	/** The version of the tables for which it was made. */
	readonly version: number;
	/** The number of connections that use them. */
	readonly connections: number;
	/** When an engine has last said that it uses them, about hourly; in milliseconds since 1970. */
	readonly usedAt: number;
}
