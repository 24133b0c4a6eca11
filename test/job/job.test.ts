import test from 'ava';
import {isTerminal, type JobStatus, STATUSES, TRANSITIONS} from '../../lib/job/job.ts';

const moves = STATUSES.flatMap(from => targetsOf(from).map(to => ({from, to, because: TRANSITIONS[from][to] ?? ''})));

test('the table of transitions knows every status, and no others', t => {
	t.deepEqual(Object.keys(TRANSITIONS).sort(), [...STATUSES].sort());
	for (const {from, to, because} of moves) {
		t.true(STATUSES.includes(to), `${from} → ${to}`);
		t.true(because.length > 0, `${from} → ${to}`);
	}
});

test('every move is to another status', t => {
	t.deepEqual(
		moves.filter(({from, to}) => from === to),
		[],
	);
});

test('completed, dead and cancelled are terminal, the others are not', t => {
	t.deepEqual(STATUSES.filter(isTerminal), ['completed', 'dead', 'cancelled']);
});

test('only retry, and an enqueue with rerun, open a new round of a job that has ended', t => {
	const reopenings = moves.filter(({from, to}) => isTerminal(from) && to !== 'blocked');
	t.true(moves.filter(({from, to}) => isTerminal(from) && to === 'blocked').every(({because}) => because.startsWith('retry')));
	t.deepEqual(
		reopenings,
		STATUSES.filter(isTerminal).map(from => ({
			from,
			to: 'pending',
			because: `retry; enqueue with a changed payload${from === 'completed' ? '' : ' or again'}`,
		})),
	);
});

test('only a claim makes a job run, and only a pending one', t => {
	t.deepEqual(
		moves.filter(({to}) => to === 'running'),
		[{from: 'pending', to: 'running', because: 'claim'}],
	);
});

test('an execution ends only by being settled or reclaimed', t => {
	for (const {because} of moves.filter(({from}) => from === 'running')) t.regex(because, /^settle: /);
});

test('a job is completed or fails only by running', t => {
	for (const status of ['completed', 'failed', 'dead'] as const)
		t.deepEqual(
			moves.filter(({to}) => to === status).map(({from}) => from),
			['running'],
		);
});

test('a new job can reach every status, and every job can be completed', t => {
	t.deepEqual([...reachableFrom('pending')].sort(), [...STATUSES].sort());
	for (const status of STATUSES) t.true(reachableFrom(status).has('completed'), status);
});

function targetsOf(status: JobStatus): JobStatus[] {
	return Object.keys(TRANSITIONS[status]) as JobStatus[];
}

function reachableFrom(start: JobStatus): Set<JobStatus> {
	const reached = new Set([start]);
	// The loop over a Set also visits values that are added meanwhile.
	for (const status of reached) for (const next of targetsOf(status)) reached.add(next);
	return reached;
}
