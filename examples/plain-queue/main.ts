/** A queue without an engine, and every verb of it: `node examples/plain-queue/main.ts`. */
import {setTimeout as sleep} from 'node:timers/promises';
import {type JobHandler, openQueue, statusSummary, work} from 'faena/queue';

const resize: JobHandler<{file: string}> = async ({file}) => {
	await sleep(20);
	if (file === 'broken.png') throw new Error(`${file} is no picture`);
	return file.length;
};

// Create the queue, and enqueue jobs with a priority, a schedule and a limit of attempts.
const queue = await openQueue('plain.db');
const twice = {maxAttempts: 2, backoff: '10ms'} as const;
await queue.enqueue(['a.png', 'broken.png', 'c.png', 'd.png'].map(file => ({task: 'resize', payload: {file}, ...twice})));
await queue.enqueue([{task: 'resize', payload: {file: 'urgent.png'}, priority: 9}]);
const [mail] = await queue.enqueue([{task: 'mail', payload: 'Ana', delay: '30ms', maxAttempts: 1}]);

// Take jobs by hand, of any task: complete one, fail another.
const {jobs} = await queue.dequeue({owner: 'by hand', limit: 2});
for (const [index, job] of jobs.entries()) {
	console.log('by hand:', job.payload);
	if (index === 0) await queue.complete(job, 1);
	else await queue.fail(job, new Error('not now'));
}

// Let a pool of loops run the rest, until nothing can run any more.
const controller = new AbortController();
const mailTo: JobHandler<string> = name => Promise.reject(new Error(`no address of ${name}`));
const pool = work(queue, {resize, mail: mailTo}, {concurrency: 3, signal: controller.signal});
for (let counts = await queue.counts(); counts.pending + counts.running + counts.failed > 0; counts = await queue.counts()) await sleep(10);
console.log(statusSummary(await queue.counts()));
console.log((await queue.job(mail?.id ?? 0))?.error?.message);

// Set a dead job back by hand, and clean up what has ended.
console.log('retried:', await queue.retry({task: 'mail'}));
while ((await queue.counts()).dead < 2) await sleep(10);
controller.abort();
await pool;
console.log('deleted:', await queue.cleanup({olderThan: 0}));
await queue.close();
