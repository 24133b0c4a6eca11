import {parentPort} from 'node:worker_threads';
import run from '../measure/tasks.ts';

/** The jobs that the message `go` starts. */
let request: Parameters<typeof run>[0] | undefined;

parentPort?.on('message', (message: Parameters<typeof run>[0] | 'go') => {
	if (message === 'go') parentPort?.postMessage(request ? (run(request) as number[]).reduce((sum, each) => sum + each, 0) : 0);
	else {
		request = message;
		parentPort?.postMessage('ready');
	}
});
parentPort?.postMessage('ready');
