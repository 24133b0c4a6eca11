import test from 'ava';
import type {Outcome} from '../../lib/job/claim.ts';
import type {ClaimedGroup} from '../../lib/job/groups/group.ts';
import {settlementsOf, toEndedGroup} from '../../lib/job/groups/single-jobs.ts';
import {MAX_SUSPICION, suspicionAmong} from '../../lib/job/job.ts';
import type {InFlightChunk} from '../../lib/pool/in-flight.ts';
import {howWorkerEnded, type Loss, lostJobs} from '../../lib/pool/lost-chunk.ts';
import type {WorkerEnd} from '../../lib/pool/pool.ts';
import type {ChunkState} from '../../lib/worker/chunk-state.ts';
import {BROKEN} from '../../lib/worker/messages.ts';
import {POLICY} from '../fixtures/dispatcher.ts';
import {claimedGroup} from '../fixtures/groups.ts';
import {HandClock} from '../fixtures/hand-clock.ts';
import {HandWorker, sentChunk} from '../fixtures/hand-worker.ts';

const CRASH: Loss = {ending: {exitCode: 1}, wasEnded: false, wasSilent: false, isUnproven: false};
const ENDED: Loss = {...CRASH, wasEnded: true};
const SILENT: Loss = {...ENDED, wasSilent: true};
const BROKE: Loss = {...CRASH, ending: {exitCode: BROKEN}};

interface Case {
	readonly jobs?: number;
	readonly parts?: Partial<ClaimedGroup>;
	readonly kind?: 'thread' | 'process' | 'caller';
	/** What the worker and the pool did with the chunk, from which the worker is lost 500 ms after it was given. */
	readonly act?: (side: ChunkState, chunk: InFlightChunk) => void;
}

const STARTED_AT = 1100;

/** The outcomes of the jobs of a chunk. */
function lose(loss: Loss, {jobs = 3, parts = {}, kind = 'process', act = () => undefined}: Case = {}): Outcome[] {
	const clock = new HandClock(1_000_000);
	const {chunk, side} = sentChunk(claimedGroup(jobs, parts), new HandWorker(kind));
	act(side, chunk);
	clock.pass(500);
	const settlements = lostJobs(chunk, loss, clock);
	for (const [index, {id, lease, execution}] of settlements.entries())
		if (id <= (settlements[index - 1]?.id ?? 0) || lease + execution !== 2) throw new Error();
	return settlements.length === 0 ? [] : [...settlementsOf(toEndedGroup(settlements))].map(({outcome}) => outcome);
}

const typesOf = (outcomes: readonly Outcome[]) => outcomes.map(outcome => ('suspicion' in outcome ? [outcome.type, outcome.suspicion] : outcome.type));

/** Runs the jobs up to an index to their end, without a report. */
function run(side: ChunkState, jobs: number): void {
	for (let index = 0; index < jobs; index++) {
		side.start(index, STARTED_AT);
		side.finish(index);
	}
}

test('of a worker that crashes the job that runs is charged, with when it started and for how long it ran; those that wait go back', t => {
	const outcomes = lose(CRASH, {act: side => void side.start(0, STARTED_AT)});
	t.deepEqual(typesOf(outcomes), ['lostWorker', 'released', 'released']);
	t.like(outcomes[0], {
		startedAt: 1_000_100,
		durationMs: 400,
		error: {
			reason: 'lostWorker',
			name: 'LostWorker',
			message: 'The worker process ended with exit code 1 while it ran this job.',
			exitCode: 1,
			causes: [],
			postMortem: {execution: 1, attempt: 1, startedAt: 1_000_100, durationMs: 400},
		},
	});
	t.deepEqual(outcomes[1], {type: 'released'});
});

test('jobs that were reported, or taken back, have their outcome already', t => {
	const act = (side: ChunkState, chunk: InFlightChunk) => {
		run(side, 1);
		side.start(1, STARTED_AT);
		chunk.reports.upTo = 1;
		chunk.remove([2]);
	};
	t.deepEqual(typesOf(lose(CRASH, {jobs: 4, act})), ['lostWorker', 'released']);
});

test('a worker that started nothing took no job along', t => {
	for (const loss of [CRASH, ENDED, SILENT, BROKE]) t.deepEqual(lose(loss), Array(3).fill({type: 'released'}));
});

test('where no job runs, those that ended without a report are suspected of the crash, as many halves as there are', t => {
	t.deepEqual(typesOf(lose(CRASH, {jobs: 6, act: side => run(side, 5)})), [...Array(5).fill(['released', suspicionAmong(5)]), 'released']);
	t.deepEqual(typesOf(lose(CRASH, {act: side => run(side, 1)})), ['lostWorker', 'released', 'released']);
	t.deepEqual(typesOf(lose(CRASH, {jobs: 1200, act: side => run(side, 1200)})), Array(1200).fill(['released', 1]));
	const [only] = lose(CRASH, {act: side => run(side, 1)});
	t.like(only, {error: {message: 'The worker process ended with exit code 1 before it could tell how this job ended.'}});
	const act = (side: ChunkState, chunk: InFlightChunk) => {
		run(side, 3);
		chunk.reports.upTo = 1;
		chunk.remove([1]);
	};
	t.deepEqual(typesOf(lose(CRASH, {act})), ['lostWorker']);
});

test('if all that ended was reported, a crash accuses none', t => {
	const act = (side: ChunkState, chunk: InFlightChunk) => {
		run(side, 2);
		chunk.reports.upTo = 2;
	};
	t.deepEqual(typesOf(lose(CRASH, {act})), ['released']);
});

test('the jobs of a micro-batch that runs are all most suspect', t => {
	const act = (side: ChunkState) => void side.startMany(0, 2, STARTED_AT);
	const outcomes = lose(CRASH, {act});
	t.deepEqual(typesOf(outcomes), [['released', MAX_SUSPICION], ['released', MAX_SUSPICION], 'released']);
	t.like(outcomes[0], {startedAt: 1_000_100, durationMs: 400});
});

test('a worker that the pool ended accuses no job: those that ran are given back, or count as stopped if they were asked to stop', t => {
	const running = (side: ChunkState) => void side.start(0, STARTED_AT);
	t.deepEqual(typesOf(lose(ENDED, {act: running})), ['released', 'released', 'released']);
	for (const [reason, type] of [
		['cancelled', 'cancelled'],
		['timedOut', 'timedOut'],
		['interrupted', 'released'],
	] as const) {
		const act = (side: ChunkState, chunk: InFlightChunk) => {
			running(side);
			side.stop(0, reason);
			chunk.deadlines.set(0, 1);
		};
		const outcomes = lose(ENDED, {act, parts: {policies: {...POLICY, timeoutMs: 300}}});
		t.deepEqual(typesOf(outcomes), [type, 'released', 'released']);
		t.like(outcomes[0], {startedAt: 1_000_100, durationMs: 400});
	}
	t.deepEqual(lose(ENDED, {act: side => run(side, 2)}), Array(3).fill({type: 'released'}));
});

test('a job that crashes its worker after it was asked to stop counts as stopped, once the worker was asked', t => {
	const act = (isAsked: boolean) => (side: ChunkState, chunk: InFlightChunk) => {
		side.start(0, STARTED_AT);
		side.stop(0, 'cancelled');
		if (isAsked) chunk.deadlines.set(0, 1);
	};
	t.is(lose(CRASH, {act: act(true)})[0]?.type, 'cancelled');
	t.is(lose(CRASH, {act: act(false)})[0]?.type, 'lostWorker');
});

test('jobs of a micro-batch that timed out are suspects, since it is not known which took so long; a cancelled one is cancelled', t => {
	const act = (reason: 'timedOut' | 'cancelled') => (side: ChunkState, chunk: InFlightChunk) => {
		side.startMany(0, 3, STARTED_AT);
		for (const index of reason === 'cancelled' ? [1] : [0, 1, 2]) {
			side.stop(index, reason);
			chunk.deadlines.set(index, 1);
		}
	};
	t.deepEqual(typesOf(lose(ENDED, {act: act('timedOut')})), Array(3).fill(['released', MAX_SUSPICION]));
	t.deepEqual(typesOf(lose(ENDED, {act: act('cancelled')})), ['released', 'cancelled', 'released']);
});

test('a job that was asked to stop and ended before its worker did, without a report, counts as stopped', t => {
	const act = (side: ChunkState, chunk: InFlightChunk) => {
		run(side, 1);
		side.start(1, STARTED_AT);
		side.stop(1, 'cancelled');
		chunk.deadlines.set(1, 1);
		side.finish(1);
		chunk.reports.upTo = 1;
	};
	t.deepEqual(typesOf(lose(ENDED, {act})), ['cancelled', 'released']);
	const together = (side: ChunkState, chunk: InFlightChunk) => {
		side.startMany(0, 2, STARTED_AT);
		for (const index of [0, 1]) {
			side.stop(index, 'timedOut');
			chunk.deadlines.set(index, 1);
		}
		side.finish(0);
	};
	t.deepEqual(typesOf(lose(ENDED, {act: together})), [['released', MAX_SUSPICION], ['released', MAX_SUSPICION], 'released']);
});

test('a job that ended earlier than the last one of its chunk, and was asked to stop, is the only one concerned', t => {
	const act = (side: ChunkState, chunk: InFlightChunk) => {
		side.start(0, STARTED_AT);
		side.stop(0, 'timedOut');
		chunk.deadlines.set(0, 1);
		side.finish(0);
		side.start(1, STARTED_AT + 100);
		side.finish(1);
	};
	t.deepEqual(typesOf(lose(ENDED, {act, parts: {policies: {...POLICY, timeoutMs: 5}}})), ['timedOut', 'released', 'released']);
});

test('a silent worker that was ended accuses the job that ended without a report', t => {
	const outcomes = lose(SILENT, {act: side => run(side, 1)});
	t.deepEqual(typesOf(outcomes), ['lostWorker', 'released', 'released']);
	t.deepEqual(typesOf(lose(SILENT, {act: side => void side.start(0, STARTED_AT)})), ['released', 'released', 'released']);
});

test('a broken worker accuses all jobs that it started and did not report, not only the one that runs', t => {
	const act = (side: ChunkState) => {
		run(side, 1);
		side.start(1, STARTED_AT);
	};
	const nonsense = (side: ChunkState, chunk: InFlightChunk) => {
		act(side);
		chunk.nonsense = 'it said so';
	};
	const suspects = [['released', suspicionAmong(2)], ['released', suspicionAmong(2)], 'released'];
	t.deepEqual(typesOf(lose(BROKE, {act})), suspects);
	t.deepEqual(typesOf(lose(CRASH, {act: nonsense})), suspects);
	t.deepEqual(typesOf(lose(ENDED, {act: nonsense})), suspects);
	// The only job that ran may not be the one that broke it.
	t.deepEqual(typesOf(lose(BROKE, {act: side => void side.start(0, STARTED_AT)})), [['released', suspicionAmong(1)], 'released', 'released']);
});

test('a worker that broke before it ran any job accuses all of the chunk, since when that was given', t => {
	const outcomes = lose({...BROKE, isUnproven: true});
	t.deepEqual(typesOf(outcomes), Array(3).fill(['released', suspicionAmong(3)]));
	t.like(outcomes[0], {startedAt: 1_000_000, durationMs: 500});
	t.deepEqual(typesOf(lose({...CRASH, isUnproven: true})), ['released', 'released', 'released']);
});

test('a suspect that runs alone is charged with whatever happens to its worker', t => {
	const alone = {jobs: 1, parts: {quarantine: 'alone'}} as const;
	const act = (side: ChunkState) => void side.start(0, STARTED_AT);
	t.deepEqual(typesOf(lose(BROKE, {...alone, act})), ['lostWorker']);
	t.deepEqual(typesOf(lose(BROKE, {act, jobs: 2, parts: {quarantine: 'together'}})), [['released', suspicionAmong(1)], 'released']);
	t.deepEqual(typesOf(lose(BROKE, {act, jobs: 1})), [['released', suspicionAmong(1)]]);
	const [outcome] = lose(
		{...CRASH, ending: {exitCode: 1}},
		{
			...{...alone, kind: 'thread'},
			act(side, chunk) {
				act(side);
				chunk.nonsense = 'it lied';
			},
		},
	);
	t.like(outcome, {
		error: {
			message: 'The worker thread was ended before it reported how this job ended, since it lied. A task may have changed what Faena needs of its worker.',
		},
	});
});

test('the failure has the known facts of the end: signal, stderr, the error, and the limit of the heap if that was full', t => {
	const errorOf = (ending: WorkerEnd) => {
		const [outcome] = lose({...CRASH, ending}, {act: side => void side.start(0, STARTED_AT)});
		return outcome && 'error' in outcome ? outcome.error : undefined;
	};
	const signalled = errorOf({exitCode: null, signal: 'SIGSEGV', stderr: 'fatal', error: new Error('gone')});
	t.like(signalled, {
		signal: 'SIGSEGV',
		stderr: 'fatal',
		causes: [{message: 'gone'}],
		message: 'The worker process was ended by SIGSEGV while it ran this job.',
	});
	t.false('exitCode' in (signalled ?? {}));
	const full = errorOf({exitCode: 0, isOutOfMemory: true, limitBytes: 100});
	t.like(full, {exitCode: 0, message: 'The worker process ran out of memory while it ran this job.', postMortem: {heap: {limitBytes: 100}}});
	t.false('stderr' in (full ?? {}) || 'signal' in (full ?? {}));
	t.false('heap' in (errorOf({exitCode: 1, limitBytes: 100})?.postMortem ?? {}));
	t.false('heap' in (errorOf({exitCode: 1, isOutOfMemory: true})?.postMortem ?? {}));
});

test('a caller does not end: it does not go on', t => {
	const [outcome] = lose({...SILENT, ending: {exitCode: null}}, {kind: 'caller', act: side => run(side, 1)});
	t.like(outcome, {error: {message: 'The worker caller did not go on before it could tell how this job ended.'}});
});

test('a start that lies in the future ran for no time', t => {
	const [outcome] = lose(CRASH, {act: side => void side.start(0, 1800)});
	t.like(outcome, {durationMs: 0, startedAt: 1_000_500});
});

const WAYS: readonly (readonly [WorkerEnd, string])[] = [
	[{exitCode: 134, isOutOfMemory: true, signal: 'SIGABRT'}, 'ran out of memory'],
	[{exitCode: null, error: new Error('no such file')}, 'could not be started (no such file)'],
	[{exitCode: null, signal: 'SIGKILL'}, 'was ended by SIGKILL'],
	[{exitCode: 0}, 'ended with exit code 0'],
];

for (const [ending, sentence] of WAYS) test(`a worker "${sentence}"`, t => t.is(howWorkerEnded(ending), sentence));
