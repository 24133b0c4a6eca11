import {parentPort} from 'node:worker_threads';
import run from '../tasks.ts';

parentPort?.on('message', request => parentPort?.postMessage((run(request) as number[]).reduce((sum, each) => sum + each, 0)));
parentPort?.postMessage('ready');
