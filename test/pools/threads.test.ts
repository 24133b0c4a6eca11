import {threadPool} from '../../lib/pools/threads.ts';
import {exercisePool} from './contract.ts';

exercisePool('threads', (options, listener) => threadPool(options, listener));
