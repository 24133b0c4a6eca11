/** A sandboxed processor of BullMQ, which tells it the payload alone: all work but the warm-up's is `spin`. */
import type {Job} from 'bullmq';
import {Executions} from './executions.ts';

const executions = new Executions('spin');

export default async ({data}: Job): Promise<number> => executions.execute(data);
