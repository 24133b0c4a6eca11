import {processPool} from '../../lib/pools/processes.ts';
import {exercisePool} from './contract.ts';

exercisePool('processes', (options, listener) => processPool(options, listener));
