/** Loaded in each process of AVA: once it exits, it adds a line with what the test file took to the file that `FAENA_METER` names. */
import {appendFileSync, readFileSync} from 'node:fs';
import {relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';

const TICK_MS = 10;

const log = process.env['FAENA_METER'];
if (log !== undefined) {
	// A test that runs tests itself does not measure them, too.
	delete process.env['FAENA_METER'];
	const file = relative(process.cwd(), fileURLToPath(test.meta.file));
	process.on('exit', () => {
		appendFileSync(log, `${JSON.stringify({file, wallMs: Math.round(performance.now()), cpuMs: processorMs()})}\n`);
	});
}

/** Processor time of this process and of all that it started and saw end; on other systems than Linux only its own. */
function processorMs(): number {
	try {
		// The name of the program, in brackets, may have spaces.
		const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
		return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0);
	} catch {
		const {user, system} = process.cpuUsage();
		return Math.round((user + system) / 1000);
	}
}
