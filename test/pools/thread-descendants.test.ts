import {threadPool} from '../../lib/pools/threads.ts';
import {exerciseDescendants} from './descendants-contract.ts';

if (process.platform === 'linux') exerciseDescendants('threads', (options, listener) => threadPool(options, listener));
