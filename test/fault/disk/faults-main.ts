/**
 * `npm run faults -- [PART/PARTS]`: lets every call that changes the disk fail in every way (or each PARTSth of these faults).
 * A line of JSON for each hundred is appended to `faults.jsonl`. Ends with 1 if a promise was broken.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {keep} from '../results.ts';
import {allFaults, type FaultResult, tryFault} from './faults.ts';

const PER_LINE = 100;

const [part = 0, parts = 1] = (process.argv[2] ?? '').split('/').filter(Boolean).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'faena-faults-'));
const faults = (await allFaults(folder)).filter((_, index) => index % parts === part);
for (let from = 0; from < faults.length; from += PER_LINE) {
	const begunAt = performance.now();
	const left = faults.slice(from, from + PER_LINE);
	const results: FaultResult[] = [];
	const tryNext = async (name: string) => {
		for (let fault = left.pop(); fault; fault = left.pop()) results.push(await tryFault(join(folder, name), fault));
	};
	await Promise.all(['a', 'b'].map(tryNext));
	const broken = results.filter(result => result.broken.length > 0);
	const told = Map.groupBy(results, ({codes}) => codes.join(' ') || 'no error');
	keep('faults.jsonl', {
		part: `${part}/${parts}`,
		from,
		of: faults.length,
		faults: results.length,
		seconds: Math.round((performance.now() - begunAt) / 1000),
		told: Object.fromEntries([...told].map(([codes, each]) => [codes, each.length])),
		broken,
	});
	if (broken.length === 0) continue;
	console.error(`Again: npm run faults -- ${part}/${parts}`);
	process.exitCode = 1;
}
rmSync(folder, {recursive: true});
