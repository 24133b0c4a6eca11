/** A long test of `npm run nightly`: a script of package.json, with what it gets, and the most minutes that it may take. */
export interface Plan {
	readonly script: string;
	readonly args: (seed: number) => readonly string[];
	readonly minutes: number;
}

/** The most minutes that all plans may take together. */
export const MAX_MINUTES = 80;

const seeded =
	(...args: readonly string[]) =>
	(seed: number): readonly string[] => [...args, '--seed', String(seed)];

/** How many parts `npm run faults` is cut into; a night has one of them. */
const PARTS = 9;

/** The surest to find something come first. */
export const PLANS: readonly Plan[] = [
	{script: 'torture', args: seeded('--kills', '500'), minutes: 8},
	{script: 'torture', args: seeded('--kills', '100', '--endings', 'SIGSTOP,SIGKILL'), minutes: 5},
	{script: 'torture', args: seeded('--kills', '150', '--endings', 'SIGTERM,SIGINT'), minutes: 5},
	{script: 'simulate', args: seeded('--events', '2000000'), minutes: 8},
	{script: 'bad-jobs', args: seeded('--jobs', '800'), minutes: 6},
	{script: 'fuzz', args: seeded('--runs', '5000', '--what', 'values,decoder,cli'), minutes: 5},
	{script: 'fuzz', args: seeded('--runs', '100', '--what', 'rows,commands,engines'), minutes: 4},
	{script: 'power-loss', args: seeded('--states', '8000'), minutes: 4},
	{script: 'faults', args: seed => [`${seed % PARTS}/${PARTS}`], minutes: 6},
	{script: 'byte-flips', args: seeded('--runs', '600'), minutes: 4},
	{script: 'full-disk', args: () => [], minutes: 5},
	{script: 'soak', args: () => ['--minutes', '2'], minutes: 4},
	{script: 'mutants', args: () => [], minutes: 16},
];
