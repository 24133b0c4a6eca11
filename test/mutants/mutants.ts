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
const SQLITE = 'test/store/sqlite.test.ts';
const TOGETHER =
	'sqlite: of many that were enqueued and dequeued together each settles for itself, in whatever order; what is repeated, stale or of another lease changes nothing';
const OPEN_JOBS = 'of the jobs of a dead owner those are suspects that a worker had open and whose outcomes were not final';
const RUNS = 'sqlite: what is settled in a run is settled as one by one: of a job that is settled twice the first counts, and what does not match is lost';
const PATIENT = 'a turn waits while another program is in a transaction, and takes place once';
const STORAGE = 'test/engine/storage.test.ts';

export const MUTANTS: Readonly<Record<string, Mutant>> = {
	// ——— the fence ———
	'the result of a stale execution is accepted': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'if (!claim || claim[1] !== execution) continue;',
		put: 'if (!claim) continue;',
		killer: [SQLITE, 'sqlite: a settlement whose job, lease or execution does not match is lost and changes nothing'],
	},
	'a lost lease settles': {
		file: 'lib/store/sqlite/schema.sql.ts',
		find: "claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and lease = ?'",
		put: "claimsOfLease: 'select id, execution, task, batch, stop from claimed where id between ? and ? and ? > 0'",
		killer: [SQLITE, 'sqlite: a settlement whose job, lease or execution does not match is lost and changes nothing'],
	},
	'an execution is settled twice in a turn': {
		file: 'lib/store/sqlite/settle.ts',
		find: '\t\tclaims.delete(id);\n',
		put: '',
		killer: [SQLITE, 'sqlite: an execution is settled once'],
	},
	'the result of a stale execution is accepted in a run': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'if (id < next || (isSingle(part) && part[1].execution !== 1)) continue;',
		put: 'if (id < next) continue;',
		killer: [SQLITE, TOGETHER],
	},
	'a lost lease settles in a run': {
		file: 'lib/store/sqlite/schema.sql.ts',
		find: `${CLAIMED_RUN} lease = `,
		put: `${CLAIMED_RUN} 0 < `,
		killer: [SQLITE, TOGETHER],
	},
	'an execution is settled twice in a turn, in a run': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'if (id < next || (isSingle(part) && part[1].execution !== 1)) continue;',
		put: 'if (isSingle(part) && part[1].execution !== 1) continue;',
		killer: [SQLITE, TOGETHER],
	},
	'times that are no whole units are packed as if they were': {
		file: 'lib/job/packed-times.ts',
		find: 'if (units / scale !== value) return [0, Infinity];',
		put: 'if (Number.isNaN(value)) return [0, Infinity];',
		killer: ['test/job/packed-times.test.ts', 'times are packed exactly, whatever they are'],
	},
	'times are packed in one byte too few': {
		file: 'lib/job/packed-times.ts',
		find: 'range < 2 ** 8 ? 1',
		put: 'range <= 2 ** 8 ? 1',
		killer: ['test/job/packed-times.test.ts', 'times are packed exactly, whatever they are'],
	},
	'what is left is told as it was before the claim': {
		file: 'lib/store/sqlite/dequeue.ts',
		find: 'return ready + tally.tasks.get(task, place);',
		put: 'return ready;',
		killer: [SQLITE, 'sqlite: the backlog is what could have been dequeued and was not'],
	},
	'a run is settled before what was to settle one of its jobs first': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'return isMixed ? toOrder(parts.flatMap(expand)) : inOrder;',
		put: 'return inOrder;',
		killer: [SQLITE, RUNS],
	},
	'a run is settled whether or not all of it was claimed': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'return firstOf(each) >= first && lastOf(each) <= last;',
		put: 'return firstOf(each) >= first;',
		killer: [SQLITE, RUNS],
	},
	'a checkpoint is not fenced': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'if (isInRun && (execution !== 1 || claimedRunOf(statements, id)?.[2] !== lease)) return;',
		put: '',
		killer: [SQLITE, 'sqlite: a note whose claim was lost is dropped'],
	},
	// ——— transactions ———
	'what was asked is acknowledged before its commit': {
		file: 'lib/store/sqlite/database.ts',
		find: 'return transact.immediate(run) as ReturnType<typeof run>;',
		put: "if (!db.inTransaction) setTimeout(() => db.exec('commit'), 50, db.exec('begin immediate'));\n\t\t\treturn run();",
		killer: ['test/engine/enqueue.test.ts', 'when enqueue() resolves the job is in the file, for every other program to see'],
	},
	'a transaction takes the write lock only when it writes': {
		file: 'lib/store/sqlite/database.ts',
		find: 'transact.immediate(run)',
		put: 'transact.deferred(run)',
		killer: [SQLITE, 'several processes that create and share one file never get a job twice'],
	},
	'whoever waits for the write lock gives up at once': {
		file: 'lib/store/sqlite/database.ts',
		find: 'return tryAgain(attempt);',
		put: 'throw error;',
		killer: [SQLITE, PATIENT],
	},
	'the schema is made without a transaction': {
		file: 'lib/store/sqlite/database.ts',
		find: 'const run = db.transaction(() => {',
		put: 'const run = ((immediate: () => void) => ({immediate}))(() => {',
		killer: [SQLITE, 'processes that create the same files at the same time all succeed, and see one queue in each'],
	},
	'a damaged database is written to': {
		file: 'lib/store/sqlite/database.ts',
		find: '\t\trefuseIfSmallAndDamaged(db, path);\n',
		put: '',
		killer: [SQLITE, 'a database that is damaged anywhere is refused before anything is written'],
	},
	'a connection that is lost makes a deleted database anew': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: '\t\tlost.fileGuard?.recall();\n',
		put: '',
		killer: [STORAGE, 'a queue that has lost its connection does not make a deleted database anew'],
	},
	'an emptied database passes for a new one': {
		file: 'lib/store/sqlite/database.ts',
		find: '\telse if (hasLog) throw emptied(path);\n',
		put: '',
		killer: [STORAGE, 'an emptied database with its log beside it is refused, and both are left'],
	},
	'a commit is not synced': {
		file: 'lib/store/sqlite/database.ts',
		find: SYNCHRONOUS,
		put: '',
		killer: [SQLITE, 'durability full holds from the first write on'],
	},
	'a key is looked up outside the transaction': {
		file: 'lib/store/sqlite/enqueue.ts',
		find: 'const row = statements.jobByKey.get(scopeOf(names.task(task), batch), key) as [JobId, Encoded] | undefined;',
		put: 'const seen = (names as never as {seen?: Map<string, [JobId, Encoded] | undefined>}).seen ??= new Map();\n\tconst name = JSON.stringify([task, batch, key]);\n\tif (!seen.has(name)) seen.set(name, statements.jobByKey.get(scopeOf(names.task(task), batch), key) as [JobId, Encoded] | undefined);\n\tconst row = seen.get(name);',
		killer: [SQLITE, 'sqlite: a key stays taken when its job has ended, and is free once the job is cleaned up'],
	},
	'the log is not moved into the database': {
		file: 'lib/store/sqlite/database.ts',
		find: 'wal_autocheckpoint = $',
		put: 'wal_autocheckpoint = -$',
		killer: [SQLITE, 'the log stays bounded, however much is written'],
	},
	'outcomes whose transaction failed are forgotten': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'this.#outbox = [...settle, ...this.#outbox];',
		put: '',
		killer: ['test/dispatcher/dispatcher.test.ts', 'a transaction that fails for a while is told of each time, and what ended is written once it succeeds'],
	},
	'an outcome that is refused holds the others back': {
		file: 'lib/dispatcher/bisection.ts',
		find: 'if (!isRefusal(error)) return',
		put: 'return',
		killer: ['test/engine/refusals.test.ts', 'a result that the database refuses is a failure of its job, charged, and holds back no other'],
	},
	'a delay with a fraction reaches a row': {
		file: 'lib/job/checks.ts',
		find: 'return whole(parsed);',
		put: 'return parsed;',
		killer: ['test/job/options-by-property.test.ts', 'enqueue(): each number and time among its options works, or is refused in a sentence'],
	},
	'a checkpoint waits as long as outcomes do': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'Math.min(turnAt, this.#notesBy)',
		put: 'turnAt',
		killer: [
			'test/dispatcher/dispatcher.test.ts',
			'a checkpoint is in a transaction within 50 ms of its arrival, however long others may wait for company on a slow disk',
		],
	},
	// ——— owners ———
	'an owner takes no lock': {
		file: 'lib/store/sqlite/owner-lock.ts',
		find: "\tdb.exec('begin immediate');\n",
		put: '',
		killer: [SQLITE, 'the jobs of a killed process are taken back at once; those of a living one are not'],
	},
	'the living are taken for dead': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'silent.has(name) || this.#isGone(name)',
		put: 'silent.has(name) || !this.#owners.has(name)',
		killer: [SQLITE, 'the jobs of a killed process are taken back at once; those of a living one are not'],
	},
	'the dead are waited for': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'silent.has(name) || this.#isGone(name)',
		put: 'silent.has(name)',
		killer: [SQLITE, 'the jobs of a killed process are taken back at once; those of a living one are not'],
	},
	'whoever slept takes others for dead': {
		file: 'lib/store/heartbeat-monitor.ts',
		find: 'now - this.#lookedAt > this.#leaseMs / 2 ? new Map<OwnerId, never>() : this.#seen;',
		put: 'this.#seen;',
		killer: [SQLITE, 'sqlite: who did not look for long, as after a sleep, takes nobody for silent that was not seen to be'],
	},
	'whether an owner is silent is told by the wall clock': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'new HeartbeatMonitor(leaseMs, steadyMs)',
		put: 'new HeartbeatMonitor(leaseMs, now)',
		killer: [SQLITE, 'sqlite: a clock that jumps takes nobody for silent, and hides nobody who is'],
	},
	'an owner is silent whatever it says': {
		file: 'lib/store/heartbeat-monitor.ts',
		find: 'known?.heartbeat === heartbeat ? known.since : now;',
		put: 'known?.since ?? now;',
		killer: [SQLITE, 'sqlite: a heartbeat keeps an owner alive, and with it all its leases; a dequeue does not'],
	},
	'a dead host is not counted against its jobs': {
		file: 'lib/store/sqlite/control.ts',
		find: 'statements.suspectClaims.run(owner, lease, first, last, MAX_SUSPICION)',
		put: '[lease, first, last, MAX_SUSPICION]',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'a dead host is counted against all its jobs': {
		file: 'lib/store/sqlite/control.ts',
		find: 'statements.suspectClaims.run(owner, lease, first, last, MAX_SUSPICION)',
		put: 'statements.suspectClaims.run(owner, lease, 0 * first, 1e9 * last, MAX_SUSPICION)',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'a suspect comes back beside the others': {
		file: 'lib/store/sqlite/schema.sql.ts',
		find: 'select iif(x.suspicions > 0, ',
		put: 'select iif(x.suspicions < 0, ',
		killer: [SQLITE, `sqlite: ${OPEN_JOBS}`],
	},
	'suspects run together, however often their hosts died': {
		file: 'lib/store/sqlite/dequeue.ts',
		find: 'if (jobs >= most) break;',
		put: '',
		killer: [SQLITE, 'sqlite: each death of their host halves the suspects that run together, until each is alone'],
	},
	'a suspect stays one though it failed by itself': {
		file: 'lib/store/sqlite/settle.ts',
		find: "outcome.type === 'lostWorker' ? trouble.suspicions : 0",
		put: 'trouble.suspicions',
		killer: [SQLITE, 'sqlite: a suspect that throws is one no more'],
	},
	'what a worker has open is not told': {
		file: 'lib/worker/runner.ts',
		find: 'openJobs?.show(message, 0);',
		put: '',
		killer: [
			'test/engine/quarantine.test.ts',
			'a job that ends its program by SIGSEGV as soon as it starts is dead after three crashes of its own; 2,000 short neighbours complete uncharged',
		],
	},
	'a damaged cell is believed': {
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
		find: '\t\tvoid this.end();\n\t\tawait this.ended;\n',
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
		killer: ['test/pool/control-socket.test.ts', 'a command to a process that has just died is lost, and ends nobody else'],
	},
	'a close waits for a look at each job that it stops': {
		file: 'lib/pool/worker-pool.ts',
		find: "const isTold = flight.chunkState.stopReason(index) !== 'interrupted';",
		put: 'const isTold = true;',
		killer: [
			'test/pool/worker-pool.test.ts',
			'before a worker is ended whose job does not heed that it is interrupted the job is looked at 0 times: a close waits for no look',
		],
	},
	'the jobs of a dead owner are taken from children that are still at them': {
		file: 'workers/watchdog.ts',
		find: 'if (ownerLock !== undefined) shareLock(ownerLock);',
		put: '',
		killer: ['test/engine/isolation.test.ts', 'a job of a program that was killed runs again only when none of its child processes can still be at it'],
	},
	// ——— what is charged ———
	'an attempt is charged twice': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'const attempts = trouble.attempts + 1;',
		put: 'const attempts = trouble.attempts + 2;',
		killer: [SQLITE, 'sqlite: a job without attempts left is dead, with the error of its last execution'],
	},
	'the neighbours of a job that killed its worker are charged': {
		file: 'lib/pool/in-flight.ts',
		find: 'accused?.indexes.includes(index) ?',
		put: 'accused ?',
		killer: ['test/engine/retry.test.ts', 'an execution that took its worker down is charged, its neighbours are not'],
	},
	'a shutdown is charged': {
		file: 'lib/pool/in-flight.ts',
		find: "if (reason === 'interrupted') return {type: 'released', ...timing};",
		put: '',
		killer: ['test/engine/close.test.ts', 'a job (loop) that runs longer than the drain is stopped, charged nothing, and runs again'],
	},
	'a job may kill as many workers as it has attempts': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'const isPoison = crashes >= MAX_CRASHES;',
		put: 'const isPoison = false && crashes >= MAX_CRASHES;',
		killer: [SQLITE, 'sqlite: a job that killed its worker three times is dead, however many attempts it has left'],
	},
	'who runs is charged for a worker that another has broken': {
		file: 'lib/pool/in-flight.ts',
		find: '(isBroken(flight, loss) ? undefined : runningOf(flight))',
		put: 'runningOf(flight)',
		killer: [
			'test/pool/processes.test.ts',
			'processes: where a worker is broken after a job and the one during which it shows, none is charged, and each is to run alone',
		],
	},
	'the only one of a chunk is charged for a worker that is broken': {
		file: 'lib/pool/in-flight.ts',
		find: ' && (isAlone || !isBroken(flight, loss))',
		put: '',
		killer: ['test/pool/threads.test.ts', 'threads: where a worker is broken after one job, none is charged, and each is to run alone'],
	},
	// ——— the chunkState ———
	'a job starts though it was taken back': {
		file: 'lib/worker/chunk-state.ts',
		find: 'if (!this.#move(index, Cell.free, Cell.started)) return false;',
		put: 'this.#move(index, Cell.free, Cell.started);',
		killer: ['test/pool/threads.test.ts', 'threads: recall() gives back what has not started, which then never runs'],
	},
	'a job that was told to stop counts as finished': {
		file: 'lib/worker/chunk-state.ts',
		find: 'return this.#move(index, Cell.started, Cell.finished);',
		put: 'this.#move(index, Cell.started, Cell.finished);\n\t\treturn true;',
		killer: ['test/engine/made-jobs.test.ts', 'jobs that a task enqueues are dropped if it times out or is cancelled, though it heeds that and returns'],
	},
	'a job that timed out is settled while it still runs': {
		file: 'lib/pool/worker-pool.ts',
		find: "\t\tthis.#end(slot, 'stopped');\n",
		put: "\t\tthis.#end(slot, 'stopped');\n\t\tthis.#lose(slot.worker, {exitCode: null});\n",
		killer: ['test/pool/processes.test.ts', 'a job that does not heed its stop is settled once its process is gone, and not before'],
	},
	// ——— places, times and orders ———
	'the tally is not moved when a job ends': {
		file: 'lib/store/sqlite/settle.ts',
		find: '\ttally.move(task, batch, StoredState.running, place);\n}',
		put: '}',
		killer: [SQLITE, 'sqlite: counts covers all six statuses, of all tasks or of one'],
	},
	'a delayed job is promoted early': {
		file: 'lib/store/sqlite/dequeue.ts',
		find: 'statements.dueJobs.all(now, PROMOTED_PER_TURN)',
		put: 'statements.dueJobs.all(now + 1, PROMOTED_PER_TURN)',
		killer: [SQLITE, 'sqlite: a delayed job is given at its time, not before'],
	},
	'a failed job is tried again at once': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'now + backoffMs(policy.backoff, attempts, random());',
		put: 'now;',
		killer: [SQLITE, 'sqlite: backoff grows with each attempt and is jittered by the die'],
	},
	'jobs of a paused task are dequeued': {
		file: 'lib/store/sqlite/schema.sql.ts',
		find: 'select name, id from task where paused = 0',
		put: 'select name, id from task',
		killer: [SQLITE, 'sqlite: jobs of a paused task are enqueued, not dequeued, and not in the way of others'],
	},
	'priorities count the other way round': {
		file: 'lib/store/sqlite/schema.sql.ts',
		find: 'select task, -priority, id, 0, batch from job',
		put: 'select task, priority, id, 0, batch from job',
		killer: [SQLITE, 'sqlite: jobs are dequeued by priority, then in order of arrival, across tasks'],
	},
	'what runs is not counted against the concurrency of its task': {
		file: 'lib/store/sqlite/dequeue.ts',
		find: 'Math.max(0, concurrency - running - tally.tasks.get(task, StoredState.running));',
		put: 'concurrency;',
		killer: [SQLITE, 'sqlite: no more jobs of a task run at the same time than its concurrency, whoever runs them'],
	},
	'a cancel is forgotten when its job is released': {
		file: 'lib/store/sqlite/settle.ts',
		find: 'if (stop !== null) return endStopped(tx, claim, outcome);',
		put: '',
		killer: [SQLITE, 'sqlite: a released job is cancelled if that was asked'],
	},
	'a cancel by another process is not heard': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'for (const {id} of stops) this.#stop(id);',
		put: '',
		killer: ['test/engine/cancel.test.ts', 'a running job is cancelled by another process'],
	},
	'close() does not wait for what runs': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'this.#drainUntil = Math.min(this.#drainUntil, this.#clock.steadyMs() + drainMs);',
		put: 'this.#drainUntil = 0 * drainMs;',
		killer: ['test/engine/close.test.ts', 'close() lets running jobs finish and starts no others; those go on with the next open()'],
	},
	// ——— what belongs together ———
	'a batch whose input ends last does not complete': {
		file: 'lib/store/sqlite/batches.ts',
		find: 'const completes = !isUnended',
		put: 'const completes = newlyEnded > 0 && !isUnended',
		killer: [SQLITE, 'sqlite: a batch completes in the transaction in which its input has ended and no job of it is left unended, whichever comes last'],
	},
	'onComplete is enqueued again': {
		file: 'lib/store/sqlite/batches.ts',
		find: ' && completedAt === undefined;',
		put: ';',
		killer: [SQLITE, 'sqlite: a completed batch completes again only after a job of it was retried or added, not by opening it again'],
	},
	'a job is withdrawn, and its batch completes without it': {
		file: 'lib/store/sqlite/withdraw.ts',
		find: 'if (job.batch !== null) statements.endInput.run(null, job.batch);',
		put: '',
		killer: [SQLITE, 'sqlite: a batch of which a job is withdrawn does not complete with it: its input is needed again'],
	},
	'cleanup takes the jobs of open batches': {
		file: 'lib/store/sqlite/cleanup.ts',
		find: 'endedBefore && isSpared === 0;',
		put: 'endedBefore && isSpared >= 0;',
		killer: [SQLITE, 'sqlite: cleanup spares the jobs of open batches'],
	},
	'the file of a result is deleted while a job names it': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: 'if (statements.isBlobNamed.get(name) === undefined) this.#blobs.delete(name);',
		put: 'this.#blobs.delete(name, statements);',
		killer: ['test/store/blobs.test.ts', 'the same result is one file, which goes with the last job that names it'],
	},
	'a job whose rejection came to light late has succeeded': {
		file: 'lib/pool/in-flight.ts',
		find: "if (!error || outcome.type !== 'returned') return settlement;",
		put: "if (error || outcome.type !== 'returned') return settlement;",
		killer: ['test/pool/threads.test.ts', 'threads: rejection in a task is a failure of its job alone, and the pool goes on'],
	},
	'jobs are enqueued though their maker is in conflict': {
		file: 'lib/store/sqlite/child-jobs.ts',
		find: 'if (conflict) {',
		put: 'if (conflict && jobs.length === 0) {',
		killer: [SQLITE, 'sqlite: a job that enqueues a key with another payload fails, charged, and enqueues nothing'],
	},
	'an engine claims all that there is': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'limit: this.#sizeOf(task) * this.#placesFor({task, solo: false}),',
		put: 'limit: 1e6,',
		killer: ['test/engine/sharing.test.ts', 'an engine claims no more than two chunks of jobs for each worker, however many there are: the rest is for others'],
	},
	'a map reads its source as fast as it can': {
		file: 'lib/api/map.ts',
		find: 'const isFull = this.#read - this.#yielded >= this.#plan.window || ',
		put: 'const isFull = ',
		killer: ['test/engine/map.test.ts', 'the source is never read more than the window ahead of what was yielded, in order finished'],
	},
	'a map reads its source only once its batch is open': {
		file: 'lib/api/map.ts',
		find: 'const first = this.#source.next();\n\t\t\tawait this.#batch?.open();',
		put: 'await this.#batch?.open();\n\t\t\tconst first = this.#source.next();',
		killer: ['test/engine/map-sources.test.ts', 'a file that is not there ends the loop with its error, as it ends a loop over the stream itself'],
	},
	'a batch is given to two maps': {
		file: 'lib/store/sqlite/batches.ts',
		find: 'if (statements.ownerOfBatch.get(row.id) !== undefined) throw batchInUse(name);',
		put: '',
		killer: [
			'test/engine/map-owner.test.ts',
			'a batch whose map is under way is refused to another one: in the same engine, in another engine, in another process',
		],
	},
	'what is missing from an input is cancelled': {
		file: 'lib/api/map-batch.ts',
		find: "if (missing === 'keep') return;",
		put: "if (missing === 'keep') await this.#link.verb('cancel', {ids: [...this.#unmet.pages()].flat()});",
		killer: [
			'test/engine/map-resume.test.ts',
			'unfinished items of an earlier run that are not in the input stay as they are by default, are not yielded, and are waited for by their batch',
		],
	},
	"a map's cancel reaches the jobs of others": {
		file: 'lib/api/map.ts',
		find: 'if (!existing || this.#batch) continue;',
		put: 'if (existing || !existing) continue;',
		killer: ['test/engine/map-owner.test.ts', 'cancel() of a map without a batch spares the jobs of others that its keys name, and waits for them no longer'],
	},
	'a loop that is left forgets what was on its way': {
		file: 'lib/api/map.ts',
		find: "if (this.#phase === 'over') this.#client.call({type: 'unwatch', ids}).catch(() => undefined);",
		put: '',
		killer: ['test/engine/map-owner.test.ts', 'an engine watches no job of a map whose loop was left, or that has failed'],
	},
	// ——— stops ———
	'a thread ends while it is looked at': {
		file: 'lib/pool/threads/thread-stack.ts',
		find: 'const ended = looking.then(end);',
		put: 'const ended = end();',
		killer: ['test/pool/thread-stack.test.ts', 'no thread ends while another is looked at, and none is looked at while another ends'],
	},
	'a thread is looked at while another ends': {
		file: 'lib/pool/threads/thread-stack.ts',
		find: 'while (ending.size > 0) await Promise.all(ending);',
		put: '',
		killer: ['test/pool/thread-stack.test.ts', 'no thread ends while another is looked at, and none is looked at while another ends'],
	},
	'a close waits for a full disk as long as it is full': {
		file: 'lib/dispatcher/dispatcher.ts',
		find: 'isRefused ? Infinity : this.#drainUntil',
		put: 'Infinity',
		killer: ['test/dispatcher/dispatcher.test.ts', 'a close keeps its time though the disk is full: what ended could not be written, and is told'],
	},
	// ——— what comes from outside ———
	'a name that JSON escapes is stored as one': {
		file: 'lib/job/encoding.ts',
		find: 'if (name === TAG || isEscaped(name)) tagged = true;',
		put: 'if (name === TAG) tagged = true;',
		killer: ['test/job/encoding.test.ts', 'names come back as they are, whatever names this thread has parsed before'],
	},
	'what a method toJSON gives is stored': {
		file: 'lib/job/encoding.ts',
		find: '\trefuseToJson(object, walk);\n',
		put: '',
		killer: ['test/job/encoding.test.ts', 'refused, with the place named: a method that only JSON sees'],
	},
	'a job without a number is enqueued': {
		file: 'lib/store/sqlite/counter.ts',
		find: 'if (Number.isSafeInteger(number)) return number as number;',
		put: 'return number as number;',
		killer: ['test/store/hostile.test.ts', 'without a number no job is enqueued or claimed: delete from counter'],
	},
	'an owner keeps its lock though it has no row': {
		file: 'lib/store/sqlite/sqlite.ts',
		find: '\t\t\tlock.release();\n\t\t\tthis.#removeLock(owner);\n',
		put: '',
		killer: ['test/store/hostile.test.ts', 'an owner whose row could not be written has no lock left, and gets both later'],
	},
};
