import {processSource} from '../../lib/pool/processes/processes.ts';
import {WorkerPool} from '../../lib/pool/worker-pool.ts';
import {exerciseDescendants} from './descendants-contract.ts';

if (process.platform === 'linux') exerciseDescendants('processes', (options, listener) => new WorkerPool({process: processSource(options)}, options, listener));
