import {threadPool} from '../../lib/pool/threads/threads.ts';
import {exercisePool} from './contract.ts';

exercisePool('threads', (options, listener) => threadPool(options, listener));
