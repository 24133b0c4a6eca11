/** A worker thread of workerpool. */
import {worker} from 'workerpool';
import run from '../tasks.ts';

worker({run});
