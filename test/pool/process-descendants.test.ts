import {processPool} from '../../lib/pool/processes/processes.ts';
import {exerciseDescendants} from './descendants-contract.ts';

if (process.platform === 'linux') exerciseDescendants('processes', (options, listener) => processPool(options, listener));
