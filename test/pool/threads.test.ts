import {threadSource} from '../../lib/pool/threads/threads.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {exercisePool} from './contract.ts';

exercisePool('threads', (options, listener) => new WorkerPool({thread: threadSource(options)}, options, listener));
