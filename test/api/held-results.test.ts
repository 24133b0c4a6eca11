import {existsSync, mkdtempSync, readdirSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import test from 'ava';
import {HeldResults} from '../../lib/api/maps/held-results.ts';
import type {Encoded} from '../../lib/job/encoding.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');
const MIB = 1024 ** 2;

function usedMib(): number {
	collectGarbage();
	const {heapUsed, arrayBuffers} = process.memoryUsage();
	return (heapUsed + arrayBuffers) / MIB;
}

/** Texts and bytes in turn, of 1 MiB. Some have letters of several bytes. */
function resultOf(index: number): string | Uint8Array {
	return index % 2 === 0 ? `"${index}é${'x'.repeat(MIB)}"` : new Uint8Array(MIB).fill(index);
}

function isSame(one: Encoded, other: string | Uint8Array): boolean {
	return typeof one === typeof other && Buffer.from(one as string).equals(Buffer.from(other as string));
}

test.serial('ten times as many results as may wait in memory take 64 MiB; the rest waits in a file without a name, and each comes back as it was', async t => {
	const before = usedMib();
	const held = new HeldResults();
	const kept = Array.from({length: 640}, (_, index) => held.keep(resultOf(index)));
	await new Promise(resolve => setImmediate(resolve));
	t.true(usedMib() - before < 80, `${usedMib() - before} MiB`);
	t.deepEqual(
		readdirSync(tmpdir()).filter(name => name.startsWith('faena-results-')),
		[],
	);
	t.true(kept.every((each, index) => isSame(held.take(each), resultOf(index))));
	held.close();
});

test.serial('without a temporary folder all results stay in memory', t => {
	const {TMPDIR} = process.env;
	process.env['TMPDIR'] = join(mkdtempSync(join(tmpdir(), 'faena-')), 'none');
	t.false(existsSync(tmpdir()));
	const held = new HeldResults();
	const kept = Array.from({length: 70}, (_, index) => held.keep(resultOf(index)));
	process.env['TMPDIR'] = TMPDIR ?? '/tmp';
	t.true(isSame(held.take(kept[69] as Uint8Array), resultOf(69)));
	held.close();
});
