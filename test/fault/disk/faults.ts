import {join} from 'node:path';
import {type Fault, Run} from './disk.ts';
import {brokenPromises} from './promise.ts';

/** Each call of a run fails in each of these ways, once; and from then on. */
const ONCE = ['EIO', 'ENOSPC', 'EINTR', 'short', 'killBefore', 'killAfter'] as const;
/** A call that is interrupted for ever is tried for ever, by SQLite too. */
const FROM_THEN_ON = ['EIO', 'ENOSPC', 'EROFS'] as const;

export interface FaultResult extends Fault {
	/** What the call was to do. */
	readonly what: string;
	readonly broken: readonly string[];
	/** Codes of the errors that the program was told. */
	readonly codes: readonly string[];
}

/** All faults that there are in a run, call by call, with what each call does. */
export async function allFaults(folder: string): Promise<(Fault & {readonly what: string})[]> {
	const run = new Run(join(folder, 'all'));
	await run.take({record: true});
	const calls = run.calls.filter(({op}) => op !== 'told');
	return calls.flatMap(({op, path}, index) => {
		const what = `${op} ${path.slice(run.folder.length).replace(/(owner-|blobs\/).*/, '$1…')}`;
		const kinds = op === 'write' ? ONCE : ONCE.filter(kind => kind !== 'short');
		const fault = (kind: Fault['kind'], rest: boolean) => ({call: index + 1, kind, rest, what});
		return [...kinds.map(kind => fault(kind, false)), ...FROM_THEN_ON.map(kind => fault(kind, true))];
	});
}

/** A full disk that lasts is told by a warning, which Node explains. */
const IS_WARNING = /^\(node:\d+\) FaenaWarning: No job starts or ends until this is over; .* The disk is full, |^\(Use `node --trace-warnings /;

/** Runs the program with the fault, and then looks without one at what became of its jobs. */
export async function tryFault(folder: string, {what, ...fault}: Fault & {readonly what: string}): Promise<FaultResult> {
	const run = new Run(folder);
	const {stderr, hangs} = await run.take({fault});
	const {told} = run;
	const broken = hangs ? ['It hangs.'] : [];
	const complaints = stderr.split('\n').filter(line => line !== '' && !IS_WARNING.test(line));
	if (complaints.length > 0) broken.push(`It complains: ${complaints.join('\n')}`);
	broken.push(...(await brokenPromises(run.queue, told).catch((error: unknown) => [`It can't be opened any more: ${error}`])));
	const codes = [...new Set(told.filter(line => /^[A-Z]\w+ /.test(line)).map(line => line.split(' ', 1)[0] as string))];
	return {...fault, what, broken, codes};
}
