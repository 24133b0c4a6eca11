/** A worker thread of workerpool. */
import {worker} from 'workerpool';
import run from '../measure/tasks.ts';

worker({run});
