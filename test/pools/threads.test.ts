import {ThreadPool} from '../../lib/pools/threads.ts';
import {exercisePool} from './contract.ts';

exercisePool('threads', (options, listener) => new ThreadPool(options, listener));
