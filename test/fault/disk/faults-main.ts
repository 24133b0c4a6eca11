/**
 * `npm run faults -- [PART/PARTS]`: lets every call that changes the disk fail in every way (or each PARTSth of these faults), and adds
 * the results to `faults.jsonl`. Ends with 1 if a promise was broken.
 */
import {appendFileSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {allFaults, type FaultResult, tryFault} from './faults.ts';

const [part = 0, parts = 1] = (process.argv[2] ?? '').split('/').filter(Boolean).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'faena-faults-'));
const faults = (await allFaults(folder)).filter((_, index) => index % parts === part);
const results: FaultResult[] = [];
const tryNext = async (name: string) => {
	for (let fault = faults.pop(); fault; fault = faults.pop()) {
		const result = await tryFault(join(folder, name), fault);
		results.push(result);
		appendFileSync('faults.jsonl', `${JSON.stringify(result)}\n`);
		if (result.broken.length > 0) console.log(JSON.stringify(result));
	}
};
await Promise.all(['a', 'b'].map(tryNext));
rmSync(folder, {recursive: true});
const broken = results.filter(result => result.broken.length > 0).length;
const codes = Object.entries(Object.groupBy(results, ({codes}) => codes.join(' ') || 'no error')).map(([code, each]) => `${code}: ${each?.length}`);
console.log(`${results.length} faults, ${broken} broke a promise. What the program was told: ${codes.join('; ')}.`);
process.exitCode = broken > 0 ? 1 : 0;
