/** The public names: a name that comes or goes here is a change for users, and belongs in the changelog. */
import {readdirSync, readFileSync} from 'node:fs';
import test from 'ava';

/** The most names of an entry: a name more needs a reason in docs/internals/decisions.md. */
const MOST = {index: {values: 15, types: 60}, queue: {values: 10, types: 26}} as const;

interface Names {
	readonly values: readonly string[];
	readonly types: readonly string[];
}

const ENTRIES: Readonly<Record<string, Names>> = {
	index: {
		values: [
			...['CHANNELS', 'DEFAULTS', 'FaenaError', 'PermanentError', 'RetryAfter', 'STATUSES', 'closeOnSignals'],
			...['defineTasks', 'enqueueIn', 'isTerminal', 'open', 'showProgress', 'statusSummary', 'task'],
		],
		types: [
			...['AnyTasks', 'BatchHandle', 'BatchInfo', 'CompletedBatch', 'Context', 'Counts', 'DeadJob', 'Duration'],
			...['Engine', 'EngineEvents', 'EngineStats', 'EnqueueManyOptions', 'EnqueuedChild', 'ErrorCode', 'ExecOptions'],
			...['ExecResult', 'ExecutionOptions', 'Flow', 'FlowHandle', 'FlowJob', 'FlowJobOptions'],
			...['FlowMap', 'FlowNode', 'Job', 'JobError', 'JobFilter', 'JobHandle', 'JobId', 'JobInfo', 'JobList'],
			...['JobMap', 'JobOptions', 'JobOutcome', 'JobPipe', 'JobRef', 'JobSearch', 'JobStatus', 'LogLine', 'Logger'],
			...['MapOptions', 'MapProgress', 'MapResult', 'OpenOptions', 'OwnConnection', 'ParentOutcome', 'PayloadOf'],
			...['PipeOptions', 'PipeProgress', 'PostgresTransaction', 'ResultOf', 'ScheduleHandle', 'ScheduleInfo'],
			...['ScheduleOptions', 'Size', 'StageOptions', 'TaskContext', 'TaskModule', 'TaskOptions'],
			...['TasksOf', 'WaitOptions'],
		],
	},
	queue: {
		values: [...['backup', 'moveQueue', 'openQueue', 'reopenQueue', 'statusSummary', 'vacuum', 'work']],
		types: [
			...['BackedUp', 'Batch', 'Claim', 'Cleanup', 'DequeueOptions', 'Dequeued', 'DequeuedJob', 'Enqueued'],
			...['JobChanges', 'JobExecution', 'JobHandler', 'JobQueue', 'MoveOptions', 'MovedQueue'],
			...['PostgresClient', 'PostgresConnection', 'PostgresPool', 'PostgresPoolOptions', 'PostgresQuery'],
			...['QueueEnd', 'QueueJob', 'QueueOptions', 'QueueOutcome', 'QueueValues', 'Vacuumed', 'WorkOptions'],
		],
	},
	store: {
		values: [...['JobQueue', 'TRANSITIONS', 'decode', 'encode']],
		types: [
			...['Backoff', 'BatchChange', 'BatchDeletion', 'BatchId', 'BatchOptions', 'BatchPage', 'CancelResult'],
			...['Changes', 'CheckedOptions', 'ChildJob', 'ClaimRequest', 'Claimed', 'ClaimedGroup', 'ClaimedJob'],
			...['Column', 'Committed', 'DeleteResult', 'Deleted', 'Deletion', 'DiscardOptions', 'DiscardResult'],
			...['EditResult', 'Encoded', 'EndTimes', 'EndedBefore', 'EndedDeletion', 'EndedGroup', 'Ending'],
			...['EnqueuedGroup', 'ErrorRecord', 'ExecutionRecord', 'FailureRecord', 'FlowJobs', 'FullQueue'],
			...['Health', 'Ids', 'JobEdges', 'JobEdit', 'JobEnd', 'JobPage', 'JobRange', 'JobRecord', 'JobUpdate'],
			...['JobValues', 'KeyHolders', 'KeySpace', 'Keys', 'KnownParents', 'LaneRequest', 'Lease', 'Mark'],
			...['MovePage', 'MoveTarget', 'Moved', 'NewGroup', 'NewJob', 'News', 'Outcome', 'OutcomePage'],
			...['OwnerFiles', 'OwnerId', 'PackedStrings', 'Page', 'ParentEdge', 'ParentEnd', 'ParentResults'],
			...['Parents', 'ParentsOfCall', 'PendingLimits', 'PerSpawner', 'Place', 'Policy', 'PolicyNumber'],
			...['PolicyOption', 'ReleaseOptions', 'Released', 'Rerun', 'ResultsOfParents', 'Schedule'],
			...['ScheduleChange', 'ScheduleResult', 'ScheduleSpec', 'SearchPage', 'Settled', 'SettledGroup'],
			...['Settlement', 'Store', 'StoredFlow', 'StoredJob', 'TaskCounts', 'Timing', 'Values', 'Wanted'],
		],
	},
	testing: {
		values: ['FAILPOINTS', 'TestClock', 'TestEngine', 'openForTest', 'runTask'],
		types: ['FailpointAct', 'FailpointName', 'Failpoints', 'RunEnqueued', 'RunOptions', 'TaskRun', 'TestOptions'],
	},
};

const lib = new URL('../lib/', import.meta.url);

function sourceOf(entry: string): string {
	return readFileSync(new URL(`${entry}.ts`, lib), 'utf8');
}

/** What an entry exports, by its lists; it has nothing else. */
function exportsOf(entry: string): Names {
	const lists = [...sourceOf(entry).matchAll(/^export (type )?\{([^}]*)\} from '\.\/[\w/.-]+';$/gm)];
	const names = lists.flatMap(([, isType = '', list = '']) => list.split(',').flatMap(each => (each.trim() === '' ? [] : [`${isType}${each.trim()}`])));
	const types = names.filter(name => name.startsWith('type ')).map(name => name.slice('type '.length));
	return {values: names.filter(name => !name.startsWith('type ')).sort(), types: types.sort()};
}

test('each file at the top of lib is an entry of the package', t => {
	const entries = readdirSync(lib).filter(name => name.endsWith('.ts'));
	t.deepEqual(entries.map(name => name.replace('.ts', '')).sort(), Object.keys(ENTRIES).sort());
	const {exports} = JSON.parse(readFileSync(new URL('../package.json', lib), 'utf8')) as {exports: Record<string, object | string>};
	const expected = Object.keys(ENTRIES).map(entry => {
		const targets = {'faena-source': `./lib/${entry}.ts`, types: `./dist/lib/${entry}.d.ts`, default: `./dist/lib/${entry}.js`};
		return [entry === 'index' ? '.' : `./${entry}`, targets];
	});
	t.deepEqual(exports, {...Object.fromEntries(expected), './output.schema.json': './docs/output.schema.json', './package.json': './package.json'});
});

for (const [entry, names] of Object.entries(ENTRIES)) {
	test(`${entry}.ts exports these names, and no others`, async t => {
		t.deepEqual(exportsOf(entry), names);
		t.deepEqual(Object.keys((await import(new URL(`${entry}.ts`, lib).href)) as object).sort(), names.values);
		t.is([...sourceOf(entry).matchAll(/^export\b/gm)].length, [...sourceOf(entry).matchAll(/^export (type )?\{/gm)].length);
	});
}

test('the entries that programs import stay small', t => {
	for (const [entry, most] of Object.entries(MOST)) {
		const {values, types} = ENTRIES[entry] as Names;
		t.true(values.length <= most.values, `${entry}: ${values.length} values`);
		t.true(types.length <= most.types, `${entry}: ${types.length} types`);
	}
});

/** What a program needs that has a queue alone, or writes a store: it imports no more than that entry. */
const SHARED = ['JobQueue', 'statusSummary'];

test('a name is exported by one entry, but for some that two of them need', t => {
	const all = Object.values(ENTRIES).flatMap(({values, types}) => [...values, ...types]);
	t.deepEqual(all.sort(), [...new Set(all), ...SHARED].sort());
});
