import {statfsSync, statSync} from 'node:fs';
import {dirname} from 'node:path';
import type {InspectedFile, InspectedMove, Inspection} from '../../inspection.ts';
import {retryWhileBusy} from '../../sqlite-errors.ts';
import {withFile} from './connection.ts';
import {MIGRATIONS} from './schema.sql.ts';
import type {OwnerValues} from './statements.sql.ts';

/** The move that a database knows. */
export async function moveOfFile(path: string): Promise<InspectedMove | undefined> {
	return withFile(path, true, async connection => retryWhileBusy(() => connection.move()));
}

/** Looks at a database without writing to it. This reads all of it. */
export async function inspectFile(path: string): Promise<Inspection> {
	return withFile(path, true, async connection => {
		const {statements} = connection;
		const now = Date.now();
		const [owners, claims] = await retryWhileBusy(() =>
			connection.snapshot(() => [statements.owners.all() as OwnerValues[], new Map(statements.claimsByOwner.all() as [number, number][])] as const),
		);
		return {
			engine: `SQLite ${connection.version()}`,
			damage: await retryWhileBusy(() => connection.damage()),
			schema: {version: MIGRATIONS.length},
			move: await retryWhileBusy(() => connection.move()),
			settings: {journal_mode: connection.journalMode()},
			owners: owners.map(([id, name, heartbeatAt]) => ({name, silentMs: Math.max(0, now - heartbeatAt), jobs: claims.get(id) ?? 0})),
			file: {...connection.size(), ...lookAtDisk(path)},
		};
	});
}

function lookAtDisk(path: string): Pick<InspectedFile, 'logBytes' | 'diskFreeBytes' | 'unsafeFileSystem'> {
	const {type, bavail, bsize} = statfsSync(dirname(path));
	const logBytes = statSync(`${path}-wal`, {throwIfNoEntry: false})?.size ?? 0;
	return {logBytes, diskFreeBytes: bavail * bsize, unsafeFileSystem: process.platform === 'linux' ? UNSAFE.get(type) : undefined};
}

/** Types of file systems on Linux, from its header magic.h: NFS, SMB, CIFS, SMB2, 9p, Ceph, AFS (two), Coda, Lustre; tmpfs, ramfs. */
const UNSAFE: ReadonlyMap<number, 'network' | 'memory'> = new Map([
	...[0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400, 0x5346414f, 0x6b414653, 0x73757245, 0x0bd00bd0].map(type => [type, 'network'] as const),
	...[0x01021994, 0x858458f6].map(type => [type, 'memory'] as const),
]);
