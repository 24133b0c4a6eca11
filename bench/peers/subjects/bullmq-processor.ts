/** A sandboxed processor of BullMQ. It gets only the payload, not the task. All work except the warm-up's is `spin`. */
import type {Job} from 'bullmq';
import {Executions} from './executions.ts';

const executions = new Executions('spin');

export default async ({data}: Job): Promise<number> => executions.execute(data);
