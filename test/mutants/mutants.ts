/** A defect planted in one place, and the test that must not let it pass. */
export interface Mutant {
	readonly file: string;
	/** Occurs once. */
	readonly find: string;
	readonly put: string;
	/** Run alone. */
	readonly killer: readonly [file: string, title: string];
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
const SYNCHRONOUS = 'db.pragma(`synchronous = ${durability}`);';
const CLAIMED_RUN = 'from claimed_run where';
const SORTED_LIST = 'a list is sorted by a time or a duration, highest first, then by id; its pages follow each other through all jobs that match';
const SQLITE = 'test/store/sqlite.test.ts';
const POSTGRES = 'test/store/postgres.test.ts';
const MANY_STORES = 'test/store/many-stores.test.ts';
const TOGETHER =
	'sqlite: jobs that were enqueued and claimed together settle one by one in any order; a settlement that is repeated, stale or of another lease changes nothing';
const OPEN_JOBS = 'jobs of a dead owner are suspects if a worker had them open and their outcomes were not final';
const GROUPS = 'sqlite: a job that is settled twice in a group counts once, and a claim that does not match is lost';
const PATIENT = 'a commit waits while another program is in a transaction, and takes effect once';
const ROLLBACK = 'a commit that fails changes no counts, and makes no task or owner known';
const UPGRADE = 'test/store/upgrade.test.ts';
const OPEN_BATCHES = 'test/dispatcher/open-batches.test.ts';
const STORAGE = 'test/engine/storage.test.ts';
const EDGES = 'lib/store/sqlite/rows/edges.ts';
const CHILDREN = 'lib/store/sqlite/transaction/children.ts';
const SCHEDULES = 'lib/job/schedule.ts';
const FLOW = 'sqlite: the jobs of a flow wait until its input has ended; then it is closed, and completes with the last of them';
const LARGE_CHANGE = 'a change of a parent that is too large for one transaction reaches each child once, also if the parent changes again meanwhile';

export const MUTANTS: Readonly<Record<string, Mutant>> = {
	// ——— the fence ———
	'the result of a stale execution is accepted': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (claim?.[1] === execution) {',
		put: 'if (claim) {',
		killer: [SQLITE, 'sqlite: a settlement whose job, lease or execution does not match is lost and changes nothing'],
	},
	'a lost lease settles': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: "claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and lease = ?'",
		put: "claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and ? > 0'",
		killer: [SQLITE, 'sqlite: a settlement whose job, lease or execution does not match is lost and changes nothing'],
	},
	'an execution is settled twice in a commit': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: '\t\tclaims.delete(id);\n',
		put: '',
		killer: [SQLITE, 'sqlite: an execution is settled once'],
	},
	'the result of a stale execution is accepted in a claimed run': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (part.first < next || (part.settlement && part.settlement.execution !== 1)) {',
		put: 'if (part.first < next) {',
		killer: [SQLITE, TOGETHER],
	},
	'a lost lease settles in a claimed run': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: `${CLAIMED_RUN} lease = `,
		put: `${CLAIMED_RUN} 0 < `,
		killer: [SQLITE, TOGETHER],
	},
	'an execution is settled twice in a commit, in a claimed run': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (part.first < next || (part.settlement && part.settlement.execution !== 1)) {',
		put: 'if (part.settlement && part.settlement.execution !== 1) {',
		killer: [SQLITE, TOGETHER],
	},
	'a group of stale executions is accepted': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: "const isRun = typeof ids === 'number' && executions === 1 && ",
		put: "const isRun = typeof ids === 'number' && ",
		killer: [SQLITE, 'sqlite: a group with a wrong lease or execution number is lost and changes nothing'],
	},
	'a group is settled before an earlier settlement of one of its jobs': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'return overlap && parts.some(({group}) => group) ? sortParts(parts.flatMap(part => toSingles(part))) : inOrder;',
		put: 'return inOrder;',
		killer: [SQLITE, 'sqlite: if two groups settle the same job, the first group counts, even if the second begins with an earlier job'],
	},
	'a group is settled as a whole though only a part of it is claimed': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (run && part.first >= run[0] && part.last <= run[1]) return',
		put: 'if (run && part.first >= run[0]) return',
		killer: [SQLITE, GROUPS],
	},
	'a group of results is stored in a row though one of them is large': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: ' && !blobs.hasLarge(values)',
		put: '',
		killer: ['test/store/blobs.test.ts', 'results over the threshold lie in files, even if they are short and their jobs end together'],
	},
	'a checkpoint is not fenced': {
		file: 'lib/store/sqlite/transaction/updates.ts',
		find: 'if (isInRun && (execution !== 1 || claimedRunOf(statements, id)?.[2] !== lease)) return;',
		put: '',
		killer: [SQLITE, 'sqlite: an update whose claim was lost is dropped'],
	},
	// ——— groups ———
	'times that are no whole units are packed as if they were': {
		file: 'lib/job/groups/packed-times.ts',
		find: 'if (units / scale !== value) return [8, 0];',
		put: 'if (Number.isNaN(value)) return [8, 0];',
		killer: ['test/job/packed-times.test.ts', 'all times are packed exactly'],
	},
	'times are packed in one byte too few': {
		file: 'lib/job/groups/packed-times.ts',
		find: 'range < 2 ** (8 * bytes)',
		put: 'range <= 2 ** (8 * bytes)',
		killer: ['test/job/packed-times.test.ts', 'all times are packed exactly'],
	},
	'a part that is cut from a group has the keys and attempts of other jobs': {
		file: 'lib/job/groups/cut-and-join.ts',
		find: 'cut.set(index - start, each)',
		put: 'cut.set(index, each)',
		killer: ['test/job/group.test.ts', 'a group cut in two and joined again has the same jobs'],
	},
	'jobs that are picked out of a group have the keys and attempts of other jobs': {
		file: 'lib/job/groups/cut-and-join.ts',
		find: 'joined.set(offset + index, each)',
		put: 'joined.set(index, each)',
		killer: ['test/job/group.test.ts', 'the jobs that are picked out of a group are those at the indexes'],
	},
	// ——— transactions ———
	'a call is answered before its commit': {
		file: 'lib/store/sqlite/connection/connection.ts',
		find: 'return this.#transact.immediate(begin) as Result;',
		put: "if (!this.#db.inTransaction) setTimeout(() => this.#db.exec('commit'), 50, this.#db.exec('begin immediate'));\n\t\t\treturn begin();",
		killer: ['test/engine/enqueue.test.ts', 'when enqueue() resolves the job is in the file, for every other program to see'],
	},
	'a transaction takes the write lock only when it writes': {
		file: 'lib/store/sqlite/connection/connection.ts',
		find: 'transact.immediate(begin)',
		put: 'transact.deferred(begin)',
		killer: [SQLITE, 'several processes that create and share one file never get a job twice'],
	},
	'a transaction fails at once while another program has the write lock': {
		file: 'lib/store/sqlite-errors.ts',
		find: 'return retry(attempt, version);',
		put: 'throw error;',
		killer: ['test/store/locks.test.ts', PATIENT],
	},
	'a call fails after 10 s although other programs commit all the time': {
		file: 'lib/store/sqlite-errors.ts',
		find: 'if (now === seen) throw error;',
		put: 'throw error;',
		killer: ['test/store/locks.test.ts', 'a commit waits for as long as other programs commit, and for one transaction of another program for 10 s'],
	},
	'the schema is created without a transaction': {
		file: 'lib/store/sqlite/connection/migrate.ts',
		find: 'const run = db.transaction(() => {',
		put: 'const run = ((immediate: () => void) => ({immediate}))(() => {',
		killer: [SQLITE, 'processes that create the same files at the same time all succeed, and see one queue in each'],
	},
	'each step of an upgrade is committed by itself': {
		file: 'lib/store/sqlite/connection/migrate.ts',
		find: '\t\t\tdb.exec(step);\n',
		put: "\t\t\tdb.exec(step);\n\t\t\tdb.exec('commit');\n\t\t\tdb.exec('begin immediate');\n",
		killer: [UPGRADE, 'a program that is killed at migration:step leaves a database of 0.1.0 as it was, or upgraded'],
	},
	'a database is upgraded while an engine of an older version lives on it': {
		file: 'lib/store/sqlite/connection/migrate.ts',
		find: 'if (version > 0 && version < MIGRATIONS.length) refuseInUse(db, path, version);',
		put: '',
		killer: [UPGRADE, 'a database of 0.1.0 is not upgraded while an engine of that version lives on it'],
	},
	'a damaged database is written to': {
		file: 'lib/store/sqlite/connection/file-guard.ts',
		find: 'sizeBytes > MAX_CHECKED_BYTES ? undefined : damageOf(db)',
		put: 'undefined as string | undefined',
		killer: [SQLITE, 'a damaged database is refused before anything is written to it'],
	},
	'after a connection was lost a deleted database is created anew': {
		file: 'lib/store/sqlite/transactions.ts',
		find: '\t\tthis.#fileGuard?.checkIdentity();\n',
		put: '',
		killer: [STORAGE, 'a queue that has lost its connection does not make a deleted database anew'],
	},
	'an emptied database is taken for a new one': {
		file: 'lib/store/sqlite/connection/file-guard.ts',
		find: '\telse if (hasLog)\n',
		put: '\telse if (path === undefined)\n',
		killer: [STORAGE, 'an emptied database with its log beside it is refused, and both are left'],
	},
	'a commit is not synced': {
		file: 'lib/store/sqlite/connection/connection.ts',
		find: SYNCHRONOUS,
		put: '',
		killer: [SQLITE, 'durability full holds from the first write on'],
	},
	'a key is looked up outside the transaction': {
		file: 'lib/store/sqlite/rows/keys.ts',
		find: 'return byNumber ?? (this.#statements.idOfKey.get(space, key) as JobId | undefined);',
		put: 'const seen = (this.#statements as never as {seen?: Map<string, JobId | undefined>}).seen ??= new Map();\n\t\tconst name = JSON.stringify([space, key]);\n\t\tif (!seen.has(name)) seen.set(name, this.#statements.idOfKey.get(space, key) as JobId | undefined);\n\t\treturn byNumber ?? seen.get(name);',
		killer: [SQLITE, 'sqlite: a key stays in use when its job has ended, and is free once the job is cleaned up'],
	},
	'the log is not moved into the database': {
		file: 'lib/store/sqlite/connection/connection.ts',
		find: 'wal_autocheckpoint = $',
		put: 'wal_autocheckpoint = -$',
		killer: [SQLITE, 'the log stays bounded, however much is written'],
	},
	'outcomes whose transaction failed are forgotten': {
		file: 'lib/dispatcher/waiting-writes.ts',
		find: 'this.#outcomes = [...settle, ...this.#outcomes];',
		put: '',
		killer: ['test/dispatcher/dispatcher.test.ts', 'a transaction that fails for a while is reported each time, and outcomes are written once it succeeds'],
	},
	'the jobs of a claim that took effect though its commit seemed to fail stay claimed': {
		file: 'lib/dispatcher/commits.ts',
		find: 'if (this.#isInDoubt) await this.#release();',
		put: '',
		killer: ['test/dispatcher/dispatcher.test.ts', 'a claim that took effect though its commit seemed to fail leaves no job without an owner'],
	},
	'an outcome that the store refuses holds the others back': {
		file: 'lib/dispatcher/commits.ts',
		find: 'if (!isRefusal(error)) return {refusals',
		put: 'return {refusals',
		killer: ['test/engine/refusals.test.ts', 'a result that the database refuses is a failure of its job, charged, and holds back no other'],
	},
	'a delay with a fraction is written to a row': {
		file: 'lib/job/checks.ts',
		find: 'return whole(parsed);',
		put: 'return parsed;',
		killer: ['test/job/options-by-property.test.ts', 'enqueue(): each number and time among its options works, or is refused in a sentence'],
	},
	'the names of a failed commit stay known': {
		file: 'lib/store/sqlite/transactions.ts',
		find: '\t\t\tObject.assign(opened, newCaches(statements));\n',
		put: '',
		killer: ['test/store/hostile.test.ts', ROLLBACK],
	},
	'an owner that a failed commit registered stays registered': {
		file: 'lib/store/sqlite/transactions.ts',
		find: '\t\t\tfor (const owner of lists.registered) owners.unregistered(owner);\n',
		put: '',
		killer: ['test/store/hostile.test.ts', ROLLBACK],
	},
	'a checkpoint waits as long as outcomes do': {
		file: 'lib/dispatcher/committer.ts',
		find: "Math.min(Math.max(outcomesInMs, afterLastMs), agenda.inMs('updates'))",
		put: 'Math.max(outcomesInMs, afterLastMs)',
		killer: [
			'test/dispatcher/dispatcher.test.ts',
			'a checkpoint is in a transaction within 50 ms of its arrival, however long others may wait for company on a slow disk',
		],
	},
	'a page that moves jobs unpacks any number of runs': {
		file: 'lib/store/sqlite/transaction/move.ts',
		find: 'if (tx.unpacked >= MAX_UNPACKED_JOBS) return goingOnAfter(ids[index - 1] ?? after);',
		put: '',
		killer: ['test/store/paging.test.ts', 'a page moves few jobs if each of them is in another run'],
	},
	'a page of a release unpacks all runs of its owner': {
		file: 'lib/store/sqlite/transaction/claim.ts',
		find: 'if (jobs >= MAX_RELEASED_JOBS) break;',
		put: '',
		killer: ['test/store/paging.test.ts', 'a page of a release unpacks few of the runs that its owner has claimed'],
	},
	// ——— owners ———
	'a copy of the list of living commands ends those of its original': {
		file: 'lib/spawner/living-commands.ts',
		find: 'const {ino} = fstatSync(file);',
		put: 'const ino = 0 * file;',
		killer: ['test/store/copies.test.ts', 'a copy of the folder with all of its files'],
	},
	'a restored schema has the files of its original': {
		file: 'lib/store/postgres/postgres.ts',
		find: 'this.#db.place === undefined ? undefined : ownerFilesAt(this.#db.place)',
		put: "this.#db.place === undefined ? undefined : ownerFilesAt(this.#db.queue ?? '')",
		killer: ['test/store/copies.test.ts', 'a copy of the schema in another database of the server'],
	},
	'a child process makes the file of a lock that was removed': {
		file: 'lib/store/owners/owner-lock.ts',
		find: '\tif (!existsSync(path)) return;\n',
		put: '\tcreatePrivately(path);\n',
		killer: ['test/store/owners.test.ts', 'an owner whose lock was removed lives on, also after the end of a child process that was started since then'],
	},
	'the files of an owner that lives again under its name are removed': {
		file: 'lib/store/owners/owner-lock.ts',
		find: '\tif (!held && existsSync(path)) return false;\n',
		put: '',
		killer: ['test/store/owners.test.ts', 'an owner that was taken for dead and lives on keeps its files'],
	},
	'a program takes over the name of an owner that lives': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'else if (!this.#owners.isOwn(owner, id)) throw ownerInUse(owner);',
		put: '',
		killer: [SQLITE, 'sqlite: the name of an owner whose lock is missing is free once it is silent for a lease: its claims are released, and it is fenced'],
	},
	'an owner takes no lock': {
		file: 'lib/store/owners/owner-lock.ts',
		find: "const db = lock(path, 'immediate');",
		put: 'const db = new Database(path);',
		killer: [SQLITE, 'the jobs of a killed process are reclaimed at once; those of a living one are not'],
	},
	'parts of a claim that are settled at the same time are lost': {
		file: 'lib/store/postgres/functions/settle.sql',
		find: '\t\tif found then return c; end if;\n\tend loop;',
		put: '\t\treturn c;\n\tend loop;',
		killer: [MANY_STORES, 'parts of a claim that are settled at the same time are all settled'],
	},
	'postgres: a job that completed keeps what only an unended one has': {
		file: 'lib/store/postgres/functions/settle.sql',
		find: "if not is_plain or item->'execution' <> '1' then",
		put: "if item->'execution' <> '1' then",
		killer: [POSTGRES, 'postgres: a job that waits for others is blocked, is not claimed, and is ready in the transaction that ends the last of them'],
	},
	'postgres: the only ready row is claimed whatever its size': {
		file: 'lib/store/postgres/functions/claim.sql',
		find: "< least((request->>'maxBytes')::bigint, ",
		put: '< least(null::bigint, ',
		killer: [POSTGRES, 'postgres: a dequeue stops with the job that reaches maxBytes'],
	},
	'postgres: the only ready row is claimed though it has more jobs than the claim takes': {
		file: 'lib/store/postgres/functions/claim.sql',
		find: 'if one.rows = 0 or one.lane < 0 or one.last - one.first >= one.most then',
		put: 'if one.rows = 0 or one.lane < 0 then',
		killer: [POSTGRES, 'postgres: a claim keeps its limits: the number of jobs of each task, and of jobs in all'],
	},
	'postgres: quarantined jobs are claimed as others': {
		file: 'lib/store/postgres/functions/claim.sql',
		find: 'if one.rows = 0 or one.lane < 0 or one.last - one.first >= one.most then',
		put: 'if one.rows = 0 or one.last - one.first >= one.most then',
		killer: [POSTGRES, 'postgres: a suspect that completes is no longer one'],
	},
	'postgres: a call names the policies that the store still knows': {
		file: 'lib/store/postgres/number-tables.ts',
		find: 'of await read([...unknown])) found.set(key, value);',
		put: 'of await read([...unknown])) found.set(key, cache.get(key) ?? (undefined as typeof value));',
		killer: [POSTGRES, 'postgres: a job keeps its policy, however many others a call names, or the store has seen since it was claimed'],
	},
	'postgres: expiries are looked for before jobs are taken over': {
		file: 'lib/store/postgres/functions/commit.sql',
		find: "r.times or n.arrived or call ? 'mayExpire'",
		put: "r.times or call ? 'mayExpire'",
		killer: ['test/store/own-transaction.test.ts', 'the call that takes over a job says when it expires'],
	},
	'postgres: a change of a schedule is written to another one of its name': {
		file: 'lib/store/postgres/functions/schedules.sql',
		find: "s.id <> (change->>'id')::bigint",
		put: 'false',
		killer: [MANY_STORES, 'a change of a schedule that was decided by one that was deleted meanwhile is decided anew, though another one has its name'],
	},
	'edges of a group lead to numbers that other programs may take': {
		file: 'lib/store/postgres/functions/edges.sql',
		find: "'base', next_id, 'lost', to_jsonb(lost),",
		put: "'base', null, 'lost', to_jsonb(lost),",
		killer: [MANY_STORES, 'the edges of a group lead to its own jobs, while programs enqueue jobs in their own transactions'],
	},
	'numbers of a batch are not locked': {
		file: 'lib/store/postgres/functions/keys.sql',
		find: 'if its_batch is not null then perform pg_advisory_xact_lock(batches_lock_key(), its_batch::integer); end if;',
		put: '',
		killer: [MANY_STORES, 'numbers as keys of a batch belong to one job each, also if two stores enqueue them at once'],
	},
	'of a dead owner only the commands of its first spawner are ended': {
		file: 'lib/store/owners/owners.ts',
		find: 'commands.map(endLivingCommands)',
		put: 'commands.slice(0, 1).map(endLivingCommands)',
		killer: ['test/spawner/spawner.test.ts', 'thread: the same when its spawners are killed with it'],
	},
	'living owners are taken for dead': {
		file: 'lib/store/owners/owners.ts',
		find: 'if (!isSilent && !(owner.isLocal && this.#isGone(owner.name))) continue;',
		put: 'if (!isSilent && this.#owned.has(owner.name)) continue;',
		killer: [SQLITE, 'the jobs of a killed process are reclaimed at once; those of a living one are not'],
	},
	'dead owners are reclaimed from only once they are silent': {
		file: 'lib/store/owners/owners.ts',
		find: 'if (!isSilent && !(owner.isLocal && this.#isGone(owner.name))) continue;',
		put: 'if (!isSilent) continue;',
		killer: [SQLITE, 'the jobs of a killed process are reclaimed at once; those of a living one are not'],
	},
	'a process that slept takes other owners for dead': {
		file: 'lib/store/owners/owners.ts',
		find: 'now - this.#lookedAt > this.#leaseMs / 2 ? undefined : this.#seen;',
		put: 'this.#seen;',
		killer: [SQLITE, 'sqlite: after a long time without a reclaim, as after a sleep, an owner counts as silent only after another lease'],
	},
	'the wall clock decides whether an owner is silent': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'location), leaseMs, clock.steadyMs)',
		put: 'location), leaseMs, clock.now)',
		killer: [SQLITE, 'sqlite: a jump of the wall clock makes no owner silent, and hides no silent owner'],
	},
	'an owner counts as silent despite its heartbeats': {
		file: 'lib/store/owners/owners.ts',
		find: 'known?.heartbeatAt === heartbeatAt ? known.since : now;',
		put: 'known?.since ?? now;',
		killer: [SQLITE, 'sqlite: a heartbeat keeps an owner alive, and with it all its leases; a claim does not'],
	},
	'the jobs of an owner that has sent a heartbeat since are reclaimed': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'if (tx.statements.heartbeatOf.get(id) !== heartbeatAt) return undefined;',
		put: '',
		killer: [SQLITE, 'an owner whose heartbeat is written while a reclaim of its jobs waits for the lock keeps its jobs'],
	},
	'the death of a process makes no job a suspect': {
		file: 'lib/store/sqlite/transaction/claim.ts',
		find: 'statements.suspectClaims.run(owner, lease, first, Math.min(last, upTo), MAX_SUSPICION)',
		put: '[owner, lease, first, last, MAX_SUSPICION]',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'the death of a process makes all its jobs suspects': {
		file: 'lib/store/sqlite/transaction/claim.ts',
		find: 'statements.suspectClaims.run(owner, lease, first, Math.min(last, upTo), MAX_SUSPICION)',
		put: 'statements.suspectClaims.run(owner, lease, 0 * first, Math.max(last, upTo), MAX_SUSPICION)',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'a reclaimed suspect is not quarantined': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: 'select iif(x.suspicion > 0, ',
		put: 'select iif(x.suspicion < 0, ',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'suspects run together, however often their processes died': {
		file: 'lib/store/sqlite/rows/lanes.ts',
		find: 'if (jobs >= most) break;',
		put: '',
		killer: [SQLITE, 'sqlite: each death of their owner halves the number of suspects that run together, until each runs alone'],
	},
	'a suspect stays one though it failed without a loss of its worker': {
		file: 'lib/job/next-state.ts',
		find: 'suspicion: isCrash ? suspicion : 0',
		put: 'suspicion',
		killer: [SQLITE, 'sqlite: a suspect that throws is no longer one'],
	},
	'a worker does not record which jobs it has open': {
		file: 'lib/worker/runner.ts',
		find: 'openJobs?.write(open, 0);',
		put: '',
		killer: [
			'test/engine/quarantine.test.ts',
			'a job that ends its program by SIGSEGV as soon as it starts is dead after three crashes of its own; 2,000 short neighbours complete uncharged',
		],
	},
	'a damaged cell of open jobs is read': {
		file: 'lib/job/open-jobs.ts',
		find: 'if (!isWhole || checksum !== crc32(new Uint8Array(words.buffer, words.byteOffset, 8 * used).subarray(CHECKED_FROM))) return [];',
		put: 'if (!isWhole) return [];',
		killer: ['test/job/open-jobs.test.ts', 'a cell with one damaged byte, wherever it is, names no job'],
	},
	'a child process outlives its program': {
		file: 'workers/watchdog.ts',
		find: "socket.on('close', () => void die());",
		put: '',
		killer: ['test/engine/isolation.test.ts', 'no child process survives its parent, not even one that computes for ever'],
	},
	'close() leaves its child processes alone': {
		file: 'lib/pool/processes/processes.ts',
		find: '\t\tthis.#ending ??= this.#endByWatchdog();\n\t\tawait this.#gone;\n',
		put: '',
		killer: ['test/engine/close.test.ts', 'after close() no child process is left, and no thread, file, timer or listener more than before'],
	},
	'signals are listened for after close()': {
		file: 'lib/api/engine.ts',
		find: '\t\t\t.finally(this.#stopListening);',
		put: '\t\t\t.finally(() => undefined);',
		killer: ['test/engine/close.test.ts', 'after close() no child process is left, and no thread, file, timer or listener more than before'],
	},
	'a command to a process that has died ends the dispatcher': {
		file: 'lib/pool/processes/control-socket.ts',
		find: "await new Promise(resolve => void socket.once('close', resolve));",
		put: "await once(socket, 'close');",
		killer: ['test/pool/control-socket.test.ts', 'a command to a process that has just died is lost, and ends no other process'],
	},
	'a chunk has the timeout of its first job': {
		file: 'lib/pool/job-supervisor.ts',
		find: 'policyAt(chunk.group.policies, index).timeoutMs ?? Infinity',
		put: 'policyAt(chunk.group.policies, 0).timeoutMs ?? Infinity',
		killer: [
			'test/pool/stopping.test.ts',
			'all jobs of a micro-batch time out together at the shortest of their timeouts, and the first deadline ends their worker',
		],
	},
	'a close examines each worker that it stops': {
		file: 'lib/pool/job-supervisor.ts',
		find: "const isTold = chunk.chunkState.stopReason(index) !== 'interrupted';",
		put: 'const isTold = true;',
		killer: [
			'test/pool/worker-pool.test.ts',
			'before a worker is ended whose job does not heed that it is interrupted the job is looked at 0 times: a close waits for no look',
		],
	},
	'the jobs of a dead owner are reclaimed while its child processes still run them': {
		file: 'workers/watchdog.ts',
		find: 'if (ownerLock !== undefined) shareLock(ownerLock);',
		put: '',
		killer: ['test/engine/isolation.test.ts', 'a job of a program that was killed runs again only when none of its child processes can still be at it'],
	},
	// ——— charged attempts ———
	'an attempt is charged twice': {
		file: 'lib/job/next-state.ts',
		find: 'attempts: attempts + 1, delays}',
		put: 'attempts: attempts + 2, delays}',
		killer: [SQLITE, 'sqlite: a job without attempts left is dead, with the error of its last execution'],
	},
	'the neighbours of a job that killed its worker are charged': {
		file: 'lib/pool/lost-chunk.ts',
		find: 'accused?.indexes.includes(index) ?',
		put: 'accused ?',
		killer: ['test/engine/retry.test.ts', 'an execution that took its worker down is charged, its neighbours are not'],
	},
	'a shutdown is charged': {
		file: 'lib/pool/in-flight.ts',
		find: "if (reason === 'interrupted') return {type: 'released'};",
		put: '',
		killer: ['test/engine/close.test.ts', 'a job (loop) that runs longer than the drain is stopped, charged nothing, and runs again'],
	},
	'a job may kill as many workers as it has attempts': {
		file: 'lib/job/next-state.ts',
		find: 'const isPoison = charges.crashes >= MAX_CRASHES;',
		put: 'const isPoison = false && charges.crashes >= MAX_CRASHES;',
		killer: [SQLITE, 'sqlite: a job that killed its worker three times is dead, however many attempts it has left'],
	},
	'a running job is charged for a worker that another job has broken': {
		file: 'lib/pool/lost-chunk.ts',
		find: '(isBroken(chunk, loss) ? undefined : chunk.running())',
		put: 'chunk.running()',
		killer: [
			'test/pool/processes.test.ts',
			'processes: where a worker is broken after a job and the one during which it shows, none is charged, and each is to run alone',
		],
	},
	'the only job of a chunk is charged for a broken worker': {
		file: 'lib/pool/lost-chunk.ts',
		find: ' && (isAlone || !isBroken(chunk, loss))',
		put: '',
		killer: ['test/pool/threads.test.ts', 'threads: where a worker is broken after one job, none is charged, and each is to run alone'],
	},
	// ——— the state of a chunk ———
	'a job starts after it was taken back': {
		file: 'lib/worker/chunk-state.ts',
		find: 'if (!this.#move(index, Cell.free, Cell.started)) return false;',
		put: 'this.#move(index, Cell.free, Cell.started);',
		killer: ['test/pool/threads.test.ts', 'threads: release() gives back jobs that have not started, which then never run'],
	},
	'a job that was told to stop counts as finished': {
		file: 'lib/worker/chunk-state.ts',
		find: 'return this.#move(index, Cell.started, Cell.finished) ? undefined : this.stopReason(index);',
		put: 'this.#move(index, Cell.started, Cell.finished);\n\t\treturn undefined;',
		killer: ['test/engine/made-jobs.test.ts', 'jobs that a task enqueues are dropped if it times out or is cancelled, though it heeds that and returns'],
	},
	'a job that timed out is settled while it still runs': {
		file: 'lib/pool/worker-lifecycle.ts',
		find: '\t\tslot.end = {reason, ...(error && {error})};\n\t\tvoid slot.worker.end();',
		put: '\t\tslot.end = {reason, ...(error && {error})};\n\t\tthis.#removeWorker(slot, {exitCode: null});',
		killer: ['test/pool/processes.test.ts', 'a job that does not heed its stop is settled once its process is gone, and not before'],
	},
	'a job that was cancelled while it moves to another worker runs there': {
		file: 'lib/pool/job-supervisor.ts',
		find: "\t\tchunk.settleTakenBack(cancelled, {type: 'cancelled'});\n",
		put: '',
		killer: ['test/pool/worker-pool.test.ts', 'a job that is cancelled while its worker is asked to share it runs in no other worker'],
	},
	// ——— states, times and orders ———
	'the tally is not moved when a job ends': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: '\ttx.tally.move(task, batch, StoredState.running, state);\n',
		put: '',
		killer: [SQLITE, 'sqlite: counts covers all six statuses, of all tasks or of one'],
	},
	'a delayed job is promoted early': {
		file: 'lib/store/sqlite/transaction/claim.ts',
		find: 'statements.dueJobs.all(now, MAX_PROMOTED_JOBS)',
		put: 'statements.dueJobs.all(now + 1, MAX_PROMOTED_JOBS)',
		killer: [SQLITE, 'sqlite: a delayed job is claimed at its time, not before'],
	},
	'a failed job is tried again at once': {
		file: 'lib/job/next-state.ts',
		find: 'Math.round(error.retry?.afterMs ?? backoffMs(policy.backoff, charges.attempts, random()))',
		put: '0',
		killer: [SQLITE, 'sqlite: backoff grows with each attempt and is jittered at random'],
	},
	'a job whose error is permanent is tried again': {
		file: 'lib/job/next-state.ts',
		find: " || error.retry === 'never'",
		put: '',
		killer: [SQLITE, 'sqlite: an error can decide that its job is dead at once, or how long it waits for the next attempt'],
	},
	'an execution is forgotten once the next one has ended': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: "if (execution > 1 && outcome.type !== 'released') keepFailure(tx.statements, id);",
		put: '',
		killer: [SQLITE, 'sqlite: the executions that have ended are kept, with their errors, times and workers'],
	},
	'jobs of a paused task are claimed': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: 'select name, id from task where paused = 0',
		put: 'select name, id from task',
		killer: [SQLITE, 'sqlite: jobs of a paused task are enqueued, not claimed, and do not hold up other jobs'],
	},
	'priorities count the other way round': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: 'select task, -priority, id, 0, batch from job',
		put: 'select task, priority, id, 0, batch from job',
		killer: [SQLITE, 'sqlite: jobs are claimed by priority, then in order of arrival, across tasks'],
	},
	'running jobs are not counted against the concurrency of their task': {
		file: 'lib/store/sqlite/rows/lanes.ts',
		find: 'Math.max(0, concurrency - running - tally.tasks.sum(StoredState.running, nameOf(task)));',
		put: 'concurrency;',
		killer: [SQLITE, 'sqlite: no more jobs of a task run at the same time than its concurrency, for all owners together'],
	},
	'the backlog does not fall by the jobs that were claimed': {
		file: 'lib/store/sqlite/rows/lanes.ts',
		find: 'return ready + tally.tasks.get(task, state);',
		put: 'return ready;',
		killer: [SQLITE, 'sqlite: the backlog is the number of jobs that could have been claimed and were not'],
	},
	'a job that is ready and running at once is started again': {
		file: 'lib/store/sqlite/transaction/claim.ts',
		find: 'isComplete ? head.parts : claimedParts(tx, head, lease, passedOver)',
		put: 'head.parts',
		killer: ['test/engine/refusals.test.ts', 'a job that is ready and running at once is passed over and reported, and the others of its task run'],
	},
	'a cancel is forgotten when its job is released': {
		file: 'lib/job/next-state.ts',
		find: 'if (stop) return {to: stopped};\n\t\tconst suspicion',
		put: 'const suspicion',
		killer: [SQLITE, 'sqlite: a released job is cancelled if a cancel was asked'],
	},
	'a cancel by another process does not stop the job': {
		file: 'lib/dispatcher/maintenance.ts',
		find: 'for (const {id, lease} of news.stop) this.#committer.stop(id, lease);',
		put: '',
		killer: ['test/engine/cancel.test.ts', 'a running job is cancelled by another process'],
	},
	'a late request to stop ends a later execution of the job': {
		file: 'lib/pool/worker-pool.ts',
		find: '(lease ?? each.group.lease) === each.group.lease && ',
		put: '',
		killer: ['test/pool/threads.test.ts', 'threads: a stop that names the lease of an earlier execution stops nothing'],
	},
	'the memory of payloads that are kept goes to the dispatcher': {
		file: 'lib/transport/messages.ts',
		find: "call.type === 'enqueue' && call.givesPayloads",
		put: "call.type === 'enqueue'",
		killer: ['test/transport/merged-enqueue.test.ts', 'after a refusal each large binary payload is sent again as it was'],
	},
	'close() does not wait for running jobs': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: "agenda.bringForward('deadline', drainMs)",
		put: "agenda.bringForward('deadline', 0 * drainMs)",
		killer: ['test/engine/close.test.ts', 'close() lets running jobs finish and starts no others; those go on with the next open()'],
	},
	// ——— batches, child jobs and maps ———
	'a batch whose input ends last does not complete': {
		file: 'lib/store/sqlite/transaction/batches.ts',
		find: 'const completes = !isUnended',
		put: 'const completes = newlyEnded > 0 && !isUnended',
		killer: [SQLITE, 'sqlite: a batch completes in the transaction that ends its input or its last job, whichever comes last'],
	},
	'onComplete is enqueued again': {
		file: 'lib/store/sqlite/transaction/batches.ts',
		find: ' && completedAt === undefined;',
		put: ';',
		killer: [SQLITE, 'sqlite: a completed batch completes again only after a job of it was retried or added, not after it was opened again'],
	},
	'a job is discarded, and its batch completes without it': {
		file: 'lib/store/sqlite/transaction/move.ts',
		find: 'if (job.batch !== null) statements.reopenInput.run(job.batch);',
		put: '',
		killer: [SQLITE, 'sqlite: a batch does not complete by a discard of a job: its input is needed again'],
	},
	'cleanup deletes the jobs of open batches': {
		file: 'lib/store/sqlite/transaction/delete.ts',
		find: 'job.isInOpenBatch === 0 && job.endedAt < what',
		put: 'job.isInOpenBatch >= 0 && job.endedAt < what',
		killer: [SQLITE, 'sqlite: cleanup keeps the jobs of open batches'],
	},
	'the file of a result is deleted while a job names it': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'if (!isNamed(statements, name)) this.#blobs.delete(name);',
		put: 'this.#blobs.delete(name, statements);',
		killer: ['test/store/blobs.test.ts', 'equal results share a file, which is deleted with the last job that names it'],
	},
	'a job whose rejection came to light late completes': {
		file: 'lib/pool/in-flight.ts',
		find: 'if (hasReturned) endings.set(',
		put: 'if (!hasReturned) endings.set(',
		killer: ['test/pool/threads.test.ts', 'threads: rejection in a task is a failure of its job alone, and the pool goes on'],
	},
	'a job whose child jobs are in conflict enqueues them all the same': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (conflict) {',
		put: 'if (conflict && children.length === 0) {',
		killer: [SQLITE, 'sqlite: a job that enqueues a key with another payload fails, charged, and enqueues nothing'],
	},
	'an engine claims all jobs that there are': {
		file: 'lib/dispatcher/demand.ts',
		find: 'limit: this.#chunkSize(task) * this.#chunksFor(task),',
		put: 'limit: 1e6,',
		killer: ['test/dispatcher/demand.test.ts', 'each task has a lane of suspects and one of other jobs, both with its limit of running jobs'],
	},
	'a map reads its source as fast as it can': {
		file: 'lib/api/maps/window.ts',
		find: 'return size - (this.read - this.#yielded);',
		put: 'return size;',
		killer: ['test/engine/map.test.ts', 'the source is never read more than the window ahead of the yielded results, in order finished'],
	},
	'a map reads its source only once its batch is open': {
		file: 'lib/api/maps/map.ts',
		find: 'this.#feeder.begin();\n\t\t\tawait this.#jobs.batch.open();',
		put: 'await this.#jobs.batch.open();\n\t\t\tthis.#feeder.begin();',
		killer: ['test/engine/map-sources.test.ts', 'a file that is not there ends the loop with its error, as it ends a loop over the stream itself'],
	},
	'two maps have the same batch': {
		file: 'lib/store/sqlite/transaction/batches.ts',
		find: 'if (statements.ownerOfBatch.get(batch.id) !== undefined) throw batchInUse(name);',
		put: '',
		killer: [
			'test/engine/map-owner.test.ts',
			'a batch whose map is under way is refused to another one: in the same engine, in another engine, in another process',
		],
	},
	'a late write that a map leaves its batch takes the batch from the next map': {
		file: 'lib/dispatcher/open-batches.ts',
		find: '\t\tawait this.#leavePendingOf(name);\n\t\tlet id: BatchId | undefined;',
		put: '\t\tlet id: BatchId | undefined;',
		killer: [OPEN_BATCHES, 'a batch that a map failed to leave opens at once for the next map of the engine, which keeps it; the failed write was kept'],
	},
	'a batch is opened before its earlier map has left it': {
		file: 'lib/dispatcher/open-batches.ts',
		find: 'this.#last = result.catch(() => undefined);',
		put: '',
		killer: [OPEN_BATCHES, 'a map that opens a batch while another map of the engine leaves it gets the batch after that is written'],
	},
	'a batch is held for ever if the disk was full as its map left it': {
		file: 'lib/dispatcher/open-batches.ts',
		find: 'this.pending.set(name, how);\n\t\t\tthrow error;',
		put: 'throw error;',
		killer: [
			OPEN_BATCHES,
			'a batch that no map has any more is soon free to others, and at once to the next map here, though leaveBatch fails since the disk is full',
		],
	},
	'jobs whose items are missing from the input are cancelled': {
		file: 'lib/api/maps/map-batch.ts',
		find: "if (missing !== 'hold') return",
		put: "if (missing === 'hold') await this.#client.verb('endHold', {batch}, 'cancelled');\n\t\telse return",
		killer: ['test/engine/map-resume.test.ts', 'unfinished items of an earlier run are held until a map names them, or is told to run them all'],
	},
	"a map's cancel reaches the jobs of others": {
		file: 'lib/api/maps/map-jobs.ts',
		find: 'if (this.#plan.batch === undefined) this.underWay -= this.#watched.dropExisting();',
		put: '',
		killer: ['test/engine/map-owner.test.ts', 'cancel() of a map without a batch spares the jobs of others that its keys name, and waits for them no longer'],
	},
	'a loop that was left goes on to watch its jobs': {
		file: 'lib/api/maps/map-jobs.ts',
		find: "if (this.#phase === 'left') this.#watched.unwatch(group);",
		put: "if (this.#phase === 'left') return;",
		killer: ['test/engine/map-owner.test.ts', 'an engine watches no job of a map whose loop was left, or that has failed'],
	},
	// ——— stops and failures ———
	'a thread ends while another is examined': {
		file: 'lib/pool/stack-snapshot.ts',
		find: 'const ended = current.then(end);',
		put: 'const ended = end();',
		killer: ['test/pool/thread-stack.test.ts', 'no thread ends while another is looked at, and none is looked at while another ends'],
	},
	'a thread is examined while another ends': {
		file: 'lib/pool/stack-snapshot.ts',
		find: 'while (ending.size > 0) await Promise.all(ending);',
		put: '',
		killer: ['test/pool/thread-stack.test.ts', 'no thread ends while another is looked at, and none is looked at while another ends'],
	},
	'a close waits as long as the disk is full': {
		file: 'lib/dispatcher/retries.ts',
		find: 'this.#clock.steadyMs() > this.#deadline() + MAX_OVERTIME_MS',
		put: 'false',
		killer: ['test/dispatcher/dispatcher.test.ts', 'a close keeps its time although the disk is full: outcomes could not be written, and that is reported'],
	},
	'the failures of one activity delay all others': {
		file: 'lib/dispatcher/retries.ts',
		find: 'const make = () => new RetryState(...options);',
		put: 'const state = new RetryState(...options);\n\tconst make = () => state;',
		killer: ['test/dispatcher/retries.test.ts', 'each activity has its own failures'],
	},
	// ——— input from outside ———
	'a name that JSON escapes is stored as one': {
		file: 'lib/job/value-tree.ts',
		find: 'if (name === TAG || isEscaped(name)) tagged = true;',
		put: 'if (name === TAG) tagged = true;',
		killer: ['test/job/encoding.test.ts', 'names are decoded as they are, whatever names this thread has parsed before'],
	},
	'the result of a method toJSON is stored': {
		file: 'lib/job/value-tree.ts',
		find: '\trefuseToJson(object, walk);\n',
		put: '',
		killer: ['test/job/encoding.test.ts', 'refused, with the path to the value: a method that only JSON sees'],
	},
	'a job without a number is enqueued': {
		file: 'lib/store/sqlite/rows/tx.ts',
		find: 'if (Number.isSafeInteger(number)) return (number as number) + tally.tasks.get(0, NUMBERS[what] as StoredState);',
		put: 'return ((number ?? 0) as number) + tally.tasks.get(0, NUMBERS[what] as StoredState);',
		killer: ['test/store/hostile.test.ts', 'without a counter no job is enqueued or claimed: delete from tally where task = 0'],
	},
	'an owner keeps the number of a row that was not written': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: '\t\tregistered.push(owner);\n',
		put: '',
		killer: ['test/store/hostile.test.ts', ROLLBACK],
	},

	// ——— servers: keys, edits, expiry ———
	'the key goes with a job that has lost it': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: "deleteKey: 'delete from key where space = ? and key = ? and id = ?'",
		put: "deleteKey: 'delete from key where space = ? and key = ? and ? > 0'",
		killer: [SQLITE, 'sqlite: deleting a job whose key another job has taken leaves the key to that one'],
	},
	'two jobs that have not ended have one key': {
		file: 'lib/store/sqlite/transaction/move.ts',
		find: ' || !regainsKey(tx, id, job)) return false;',
		put: ') return false;',
		killer: [SQLITE, 'sqlite: a job whose key another job has taken gets no new round, unless that one is deleted'],
	},
	'a job can not pass on its own key': {
		file: 'lib/store/sqlite/transaction/enqueue.ts',
		find: 'const holder = job.unique && found?.id === parent ? undefined : found;',
		put: 'const holder = found;',
		killer: [SQLITE, 'sqlite: a job may enqueue the next one of its own key'],
	},
	'an edit keeps the checkpoint of the old payload': {
		file: 'lib/store/sqlite/transaction/edit.ts',
		find: '\t\tstatements.deleteCheckpoint.run(id);\n',
		put: '',
		killer: [SQLITE, 'sqlite: a job with a new payload begins without the checkpoint of the old one; any other edit keeps it'],
	},
	'an edited job expires at its old time': {
		file: 'lib/store/sqlite/transaction/edit.ts',
		find: '\ttx.statements.renewExpiry.run(dueAt ?? tx.now, id);\n',
		put: '',
		killer: [SQLITE, 'sqlite: an edit of the time moves the time at which the job expires; other edits leave it'],
	},
	'jobs are claimed while more have expired than a transaction cancels': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'const open = expired?.hasMore ? [] : requested;',
		put: 'const open = requested;',
		killer: [SQLITE, 'sqlite: no claim starts a job that has expired, whatever its lane, its state and the number of such jobs'],
	},
	'a job that failed expires': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: 'if (!isReleased || to',
		put: 'if (to',
		killer: [SQLITE, 'sqlite: a job that has failed, and is ready again before its time is over, does not expire'],
	},
	'a job that comes back without having started no longer expires': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: '\telse resumeExpiry(tx, id);\n',
		put: '',
		killer: [SQLITE, 'sqlite: a job that was claimed and comes back without having started still expires'],
	},

	// ——— finding ———
	'runs across a place are left out of a sorted list': {
		file: 'lib/store/sqlite/read/sorted.ts',
		find: 'for (const row of rows) take(row);',
		put: '',
		killer: [SQLITE, `sqlite: ${SORTED_LIST}`],
	},
	'a list that is sorted by duration ignores its range of times': {
		file: 'lib/store/sqlite/read/sorted.ts',
		find: "if (sort !== 'duration' || (since === -Infinity && until === Infinity)) return true;",
		put: 'return true;',
		killer: [SQLITE, `sqlite: ${SORTED_LIST}`],
	},
	'a list by id takes it that ids rise with the clock': {
		file: 'lib/store/sqlite/read/find.ts',
		find: 'return at >= since && at < until;',
		put: 'return at >= since;',
		killer: [SQLITE, 'sqlite: a list by id with a range of times finds jobs that were enqueued while the clock had gone back'],
	},
	'the content of a file that a vacuum has shortened is checked': {
		file: 'lib/store/sqlite/connection/file-guard.ts',
		find: 'return this.#committedBytes() <= sizeBytes;',
		put: 'return false;',
		killer: ['test/engine/storage.test.ts', 'the content of a file that a VACUUM has shortened is not checked: in a large file that would take long'],
	},
	'a truncated file is taken for one that a vacuum has shortened': {
		file: 'lib/store/sqlite/connection/file-guard.ts',
		find: 'return this.#committedBytes() <= sizeBytes;',
		put: 'return true;',
		killer: ['test/engine/storage.test.ts', 'a database that is truncated stops an idle engine, and callers that wait or call later learn why'],
	},

	// ——— jobs that wait, flows, schedules ———
	'a job does not wait for one of its own call': {
		file: EDGES,
		find: "if (id >= firstNew) return yield [id, last, 'open'];",
		put: "if (id >= firstNew) return yield [id, last, 'completed'];",
		killer: [SQLITE, 'sqlite: each job of a group waits for the parent at its place, also for one of an earlier group of the same transaction'],
	},
	'a job is ready once the first of its parents has ended': {
		file: CHILDREN,
		find: 'if (taken.parents > ended) insertBlocked(',
		put: 'if (taken.parents < 0) insertBlocked(',
		killer: [SQLITE, 'sqlite: a job that waits for others is blocked, is not claimed, and is ready in the transaction that ends the last of them'],
	},
	'a job runs though its parent is dead': {
		file: CHILDREN,
		find: "dead: (tx, edge) => (edge.onParentDead === 'cancel' ? cancelChildren(tx, edge) : countDown(tx, edge)),",
		put: 'dead: countDown,',
		killer: [SQLITE, 'sqlite: if a parent is dead or cancelled, its children are cancelled, and theirs; with onParentDead run they run'],
	},
	'a job waits for ever for one of its call that was cancelled at once': {
		file: EDGES,
		find: 'const firstOpen = tx.lostChildren.some(id => id >= firstNew) ? first : firstNew;',
		put: 'const firstOpen = firstNew;',
		killer: [SQLITE, 'sqlite: a job whose parent of the same call is cancelled at once is cancelled, too'],
	},
	'a death is not told to the task of onDead': {
		file: 'lib/store/sqlite/transaction/settle.ts',
		find: "if (next.to === 'dead' && 'onDead' in outcome && outcome.onDead)",
		put: "if (next.to === 'parked' && 'onDead' in outcome && outcome.onDead)",
		killer: [
			SQLITE,
			'sqlite: the job of onDead is stored in the transaction that makes a job dead, after what others enqueue, and not while attempts are left',
		],
	},
	'a retried parent brings no children back': {
		file: CHILDREN,
		find: "if (failureOf(tx, id)?.reason !== 'parent' || lostParentOf(tx, id) !== undefined) return false;",
		put: 'if (id > 0) return false;',
		killer: [SQLITE, 'sqlite: a retry of a dead parent brings back the children that it took with it'],
	},
	'children do not wait for a parent that runs again': {
		file: CHILDREN,
		find: 'if (parents === 0) return false;',
		put: 'if (parents >= 0) return false;',
		killer: [SQLITE, 'sqlite: a retry of a completed parent makes children that have not started wait again'],
	},
	'a parent is cleaned up before its children need it': {
		file: EDGES,
		find: "statesIn(tx, children, Infinity).some(([, , state]) => state === 'open'));",
		put: 'statesIn(tx, children, Infinity).some(() => false));',
		killer: [SQLITE, 'sqlite: deleting an unended parent cancels its children; ended parents are kept while a child needs them'],
	},
	'what is left of a change that is too large is forgotten': {
		file: CHILDREN,
		find: 'statements.insertParentChange.run(first, last, CHANGES.indexOf(change), edge, digest);',
		put: '',
		killer: [SQLITE, LARGE_CHANGE],
	},
	'what is left of a change begins at its start': {
		file: CHILDREN,
		find: 'edgesFrom(tx.statements, [change.first, change.last], passed)',
		put: 'edgesFrom(tx.statements, [change.first, change.last])',
		killer: [SQLITE, LARGE_CHANGE],
	},
	'a job of a flow runs before all are enqueued': {
		file: EDGES,
		find: 'if (parents?.areHeld && batch !== undefined)',
		put: 'if (!parents && batch !== undefined)',
		killer: [SQLITE, FLOW],
	},
	'the end of the input of a flow reaches no job': {
		file: 'lib/store/sqlite/transaction/batches.ts',
		find: "\tif (!flow.jobs) parentsChanged(tx, endOfInput(id), endOfInput(id), 'completed');\n",
		put: '',
		killer: [SQLITE, FLOW],
	},
	'a flow that has lost a job is open again': {
		file: 'lib/store/sqlite/connection/statements.sql.ts',
		find: " and shape ->> '$.structure' is null",
		put: '',
		killer: [SQLITE, 'sqlite: a flow of which jobs were discarded keeps its end'],
	},
	'two engines enqueue the same moment': {
		file: SCHEDULES,
		find: "(nextAt !== change.at || isPaused !== (change.type === 'resume'))",
		put: "(isPaused !== (change.type === 'resume'))",
		killer: [SQLITE, 'sqlite: a schedule is advanced from one moment once: whoever comes second changes nothing'],
	},
	'a schedule that is paused enqueues': {
		file: SCHEDULES,
		find: "(nextAt !== change.at || isPaused !== (change.type === 'resume'))",
		put: "(nextAt !== change.at || (change.type === 'resume' && !isPaused))",
		killer: [SQLITE, 'sqlite: a paused schedule enqueues nothing, and goes on where it is told'],
	},
	'of two that resume a schedule, the second repeats a moment': {
		file: SCHEDULES,
		find: "(nextAt !== change.at || isPaused !== (change.type === 'resume'))",
		put: "(nextAt !== change.at || (change.type === 'advance' && isPaused))",
		killer: [SQLITE, 'sqlite: a paused schedule enqueues nothing, and goes on where it is told'],
	},
	'a schedule that is set anew repeats a moment': {
		file: SCHEDULES,
		find: 'schedule && (schedule.lastAt !== lastAt || ',
		put: 'schedule && (',
		killer: [SQLITE, 'sqlite: a schedule is not changed by one who does not know its last moment: the next one could come twice'],
	},
	'a schedule that cannot be advanced keeps back all others': {
		file: 'lib/dispatcher/schedules.ts',
		find: "if (!isRefusal(error) && !(error instanceof FaenaError && error.code === 'BadOption')) throw error;",
		put: 'throw error;',
		killer: ['test/engine/schedules.test.ts', 'a schedule that cannot be advanced is reported once, and keeps no other from its moments'],
	},
};
