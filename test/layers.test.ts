import {readdirSync, readFileSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';

const root = fileURLToPath(new URL('../', import.meta.url));

/** The folders of lib, from the caller to the worker, and which of the others each may import. The entries are the files at the top. */
const STATIONS: Readonly<Record<string, readonly string[]>> = {
	cli: ['entries', 'internal', 'support'],
	internal: ['api', 'store', 'job', 'support'],
	entries: ['api', 'store', 'job', 'support'],
	api: ['dispatcher', 'pool', 'transport', 'store', 'worker', 'freshness', 'job', 'support'],
	transport: ['job', 'support'],
	dispatcher: ['pool', 'store', 'transport', 'job', 'support'],
	store: ['spawner', 'job', 'support'],
	pool: ['worker', 'spawner', 'job', 'support'],
	worker: ['spawner', 'job', 'support'],
	freshness: ['job', 'support'],
	spawner: ['job', 'support'],
	job: ['support'],
	support: [],
};

/** The rooms inside folders, and which of the others each may import. The room `.` is the files that lie beside the rooms. */
const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
	'lib/api': {'.': ['flows', 'maps'], flows: ['.'], maps: ['.']},
	'lib/store': {'.': ['postgres', 'sqlite'], owners: ['.'], postgres: ['.', 'owners'], sqlite: ['.', 'owners']},
	'lib/store/sqlite': {
		'.': ['connection', 'read', 'rows', 'transaction'],
		transaction: ['connection', 'read', 'rows'],
		read: ['connection', 'rows'],
		rows: ['connection'],
		connection: [],
	},
	'lib/store/postgres': {'.': ['connection'], connection: []},
	'lib/pool': {'.': [], threads: ['.'], processes: ['.']},
	'lib/cli': {
		'.': ['map', 'terminal', 'verbs'],
		verbs: ['.', 'flags', 'map', 'terminal'],
		map: ['.', 'flags', 'terminal'],
		flags: [],
		terminal: ['.'],
	},
	'lib/cli/map': {'.': ['inputs', 'shell', 'template'], inputs: ['template'], shell: ['template'], template: []},
};

/** In a folder with more, nobody finds a file by guessing. */
const MAX_FOLDER_FILES = 25;

/** Packages that these files alone may import, so that what is particular to each stays in one place. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
	'better-sqlite3': [
		'owners/owner-lock',
		'sqlite/caller-connection',
		...['connection', 'file-guard', 'frozen', 'migrate', 'statements.sql'].map(name => `sqlite/connection/${name}`),
		'sqlite/queue-move',
		'sqlite-errors',
	].map(name => `lib/store/${name}.ts`),
	pg: ['lib/store/postgres/connection/driver.ts'],
	piscina: ['lib/pool/threads/threads.ts'],
	tinypool: ['lib/pool/processes/processes.ts'],
};

const files = ['lib', 'workers'].flatMap(folder =>
	readdirSync(join(root, folder), {recursive: true, encoding: 'utf8'})
		.filter(name => name.endsWith('.ts'))
		.map(name => join(folder, name)),
);

/** What `faena bench` runs: the first files of its processes and threads, and the subjects that it measures. */
const SHORT_SUITE = [
	'lib/cli/verbs/bench.ts',
	'bench/one.ts',
	'bench/measure/tasks.ts',
	'bench/measure/record-statements.ts',
	'bench/trials/contender.ts',
	'bench/stores/faena.ts',
	...['ideal-worker', 'ideal', 'faena', 'piscina'].map(name => `bench/subjects/${name}.ts`),
];

function importsOf(file: string): string[] {
	const source = readFileSync(join(root, file), 'utf8');
	const matches = source.matchAll(/^(?:import|export)\b(?:[^'"`;]*\bfrom)? ?['"]([^'"]+)['"]|\bawait import\('([^']+)'\)/gm);
	return [...matches].map(match => (match[1] ?? match[2]) as string);
}

function targetOf(file: string, name: string): string {
	return relative(root, join(root, dirname(file), name));
}

/** Of a file of lib. */
function stationOf(file: string): string {
	const [, folder, name] = file.split('/');
	return name === undefined ? 'entries' : (folder as string);
}

/** For each file of lib, the files that it imports, but for those of the benchmark. */
const IMPORTS = new Map(
	files
		.filter(file => file.startsWith('lib/'))
		.map(file => [
			file,
			importsOf(file)
				.filter(name => name.startsWith('.'))
				.map(name => targetOf(file, name))
				.filter(target => !target.startsWith('bench/')),
		]),
);

test('every file of lib lies in a station', t => {
	t.deepEqual([...new Set([...IMPORTS.keys()].map(stationOf))].sort(), Object.keys(STATIONS).sort());
});

test('a station imports only of those that it may', t => {
	const wrong = [...IMPORTS].flatMap(([file, targets]) => {
		const allowed = [stationOf(file), ...(STATIONS[stationOf(file)] ?? [])];
		return targets.filter(target => !target.startsWith('lib/') || !allowed.includes(stationOf(target))).map(target => `${file} → ${target}`);
	});
	t.deepEqual(wrong, []);
});

test('a room imports only of those that it may', t => {
	const wrong = Object.entries(ROOMS).flatMap(([folder, rooms]) => {
		const roomOf = (file: string) => (file.slice(folder.length + 1).includes('/') ? (file.slice(folder.length + 1).split('/')[0] as string) : '.');
		const inside = (file: string) => file.startsWith(`${folder}/`);
		return [...IMPORTS]
			.filter(([file]) => inside(file))
			.flatMap(([file, targets]) => {
				const allowed = [roomOf(file), ...(rooms[roomOf(file)] ?? [])];
				return targets.filter(target => inside(target) && !allowed.includes(roomOf(target))).map(target => `${file} → ${target}`);
			});
	});
	t.deepEqual(wrong, []);
});

test(`a folder of lib has at most ${MAX_FOLDER_FILES} files`, t => {
	const folders = new Map<string, number>();
	for (const entry of readdirSync(join(root, 'lib'), {recursive: true, withFileTypes: true}))
		if (entry.isFile()) folders.set(entry.parentPath, (folders.get(entry.parentPath) ?? 0) + 1);
	t.deepEqual(
		[...folders].filter(([, files]) => files > MAX_FOLDER_FILES),
		[],
	);
});

test('no file imports itself by way of others, not even for a type', t => {
	const [done, circles] = [new Set<string>(), new Set<string>()];
	const visit = (file: string, way: readonly string[]) => {
		if (way.includes(file)) circles.add([...way.slice(way.indexOf(file)), file].join(' → '));
		if (done.has(file) || way.includes(file)) return;
		for (const target of IMPORTS.get(file) ?? []) visit(target, [...way, file]);
		done.add(file);
	};
	for (const file of IMPORTS.keys()) visit(file, []);
	t.deepEqual([...circles], []);
});

test('the benchmark is imported by the command that runs it, and by nothing else of lib', t => {
	t.deepEqual(
		files.filter(file => importsOf(file).some(name => name.startsWith('.') && targetOf(file, name).startsWith('bench/'))),
		['lib/cli/verbs/bench.ts'],
	);
});

test('faena bench needs only packages on which the package depends, or asks for the driver of PostgreSQL', t => {
	const {dependencies, peerDependencies} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>;
	const reached = new Set(SHORT_SUITE);
	for (const file of reached) for (const name of importsOf(file)) if (name.startsWith('.')) reached.add(targetOf(file, name));
	t.true(reached.size > SHORT_SUITE.length + 20);
	const packages = [...reached].flatMap(file =>
		importsOf(file)
			.filter(name => !/^(\.|node:)/.test(name))
			.map(name => `${file}: ${name}`),
	);
	t.deepEqual(
		packages.filter(each => !Object.keys({...dependencies, ...peerDependencies}).some(name => new RegExp(`: ${name}(/|$)`).test(each))),
		[],
	);
});

test('SQLite is reached by the table of kinds of store and enqueueIn() alone', t => {
	t.deepEqual(
		files.filter(file => !file.startsWith('lib/store/sqlite/') && importsOf(file).some(name => name.includes('/sqlite/'))),
		['lib/index.ts', 'lib/api/enqueue-in.ts', 'lib/store/kinds.ts'],
	);
});

/** What is loaded together with the file: what it imports, but for types, and so on. */
function loadedWith(first: string): Set<string> {
	const loaded = new Set([first]);
	for (const file of loaded) {
		const source = readFileSync(join(root, file), 'utf8');
		for (const [, names = '', name = ''] of source.matchAll(/^(?:import|export)\b(?! type)([^'"`;]*\bfrom)? ?['"](\.[^'"]+)['"]/gm)) {
			if (!/^ ?\{(\s*type [^,}]+,?)+\s*\}/.test(names)) loaded.add(targetOf(file, name));
		}
	}
	return loaded;
}

test('a map of the command line loads no SQLite in its own thread, and its workers load neither a store nor an engine: each would start later', t => {
	const stations = (file: string) => [...new Set([...loadedWith(file)].map(stationOf))].sort();
	t.true(loadedWith('lib/index.ts').has('lib/store/sqlite/caller-connection.ts'));
	t.deepEqual(
		[...loadedWith('lib/cli/map/map.ts')].filter(file => file.includes('/sqlite/')),
		[],
	);
	t.deepEqual(stations('lib/cli/map/shell/shell-task.ts'), ['cli', 'internal', 'job', 'store', 'support']);
});

test('the first files of threads and processes import what runs there', t => {
	const stations = (file: string) => new Set(importsOf(file).flatMap(name => (name.startsWith('../lib/') ? stationOf(targetOf(file, name)) : [])));
	const found = Object.fromEntries(files.filter(file => file.startsWith('workers/')).map(file => [file, [...stations(file)].sort()]));
	t.deepEqual(found, {
		'workers/dispatcher.ts': ['dispatcher', 'job', 'pool', 'store', 'transport'],
		'workers/freshness.ts': ['freshness', 'job', 'worker'],
		'workers/heartbeat.ts': ['store', 'transport'],
		'workers/process.ts': ['pool', 'spawner', 'support', 'worker'],
		'workers/spawner.ts': ['spawner', 'store', 'support'],
		'workers/thread.ts': ['pool', 'spawner', 'worker'],
		'workers/watchdog.ts': ['pool', 'spawner', 'store', 'support'],
	});
});

test('files of workers are reached by URL, never imported', t => {
	t.deepEqual(
		files.filter(file => importsOf(file).some(name => /(^|\/)workers\//.test(name))),
		[],
	);
});

for (const [name, owners] of Object.entries(OWNERS)) {
	test(`${name} is imported by ${owners.join(' and ')} alone`, t => {
		t.deepEqual(files.filter(file => importsOf(file).includes(name)).sort(), owners.toSorted());
	});
}

test('the files this test reads have imports, so that it can fail', t => {
	t.true(files.reduce((sum, file) => sum + importsOf(file).length, 0) > 100);
});
