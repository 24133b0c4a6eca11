/** {@link hold} with a limit, beside tasks without one. */
import {task} from '../../lib/job/task/make-task.ts';
import {hold} from './tasks.ts';

export {echo} from './tasks.ts';

export const limited = task(hold, {concurrency: 1});
