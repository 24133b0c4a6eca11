/** Fills a queue, works on it, and sends a message once it is under full load. Then it is killed: `recovery-victim.ts FILE CASE`. */
import {subscribe} from 'node:diagnostics_channel';
import {open} from '../../lib/index.ts';
import type {Durability} from '../../lib/job/job.ts';
import {openQueue} from '../../lib/queue.ts';
import {TASKS, type Tasks} from '../measure/engine.ts';
import {newJobs} from '../measure/new-jobs.ts';
import type {Case} from '../plan/suite.ts';

const BATCH = 1000;
/** After this many jobs chunks have their full size: the workers have some hundred jobs at a time. */
const WARM_JOBS = 5000;

const [file = '', given = ''] = process.argv.slice(2);
const {jobs, workers, durability} = JSON.parse(given) as Case & {readonly durability: Durability};
const queue = await openQueue(file, {durability});
for (let first = 0; first < jobs; first += BATCH) await queue.enqueue(newJobs('started', first, Math.min(first + BATCH, jobs)));
await queue.close();
let completed = 0;
subscribe('faena:job:completed', () => {
	if (++completed === Math.min(Math.ceil(jobs / 10), WARM_JOBS)) process.send?.('at work');
});
const faena = await open<Tasks>({queue: file, tasks: TASKS, workers, durability});
await faena.idle();
await faena.close();
