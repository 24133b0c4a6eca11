import {openStore} from '../../lib/store/open-store.ts';
import {exerciseStore} from './contract.ts';

exerciseStore('sqlite in memory', options => openStore(':memory:', options), {knowsOpenJobs: false});
