import {exerciseStore} from './contract.ts';
import {MemoryStore} from './oracle.ts';

exerciseStore('memory', async options => new MemoryStore(options));
