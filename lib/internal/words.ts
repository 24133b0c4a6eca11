/** The inner door of the command line for words. It loads no engine, since `faena --version` and the workers of `--sh` need none. */

export {bad, duration, nearest, size} from '../job/checks.ts';
export {DEFAULT_MAX_VALUE_BYTES, decode, type Encoded, encode, isJson, toCount} from '../job/encoding.ts';
export type {PostMortem} from '../job/failure.ts';
export {listRanges} from '../job/groups/group.ts';
export {MANY_BYTES, Portion, SMALL_GROUP} from '../job/groups/portion.ts';
export {type Durability, describeStages, isTerminal, NO_JOBS, type Progress, STATUSES, statusSummary, UNENDED_STATUSES} from '../job/job.ts';
export {checkJobOptions} from '../job/options.ts';
export type {Schedule, ScheduleResult} from '../job/schedule.ts';
export {scopeOfModule} from '../job/scope.ts';
export {pages, SORTED_BY, SORTS} from '../job/search.ts';
export type {ExecResult} from '../job/task/exec-options.ts';
export {task} from '../job/task/make-task.ts';
export type {Fresh, TaskContext} from '../job/task/task.ts';
export {PermanentError} from '../job/task/task-errors.ts';
export {defineTasks, toUrl} from '../job/task/task-module.ts';
export type {ResultsOfParents} from '../job/value-tree.ts';
export {kindOf, shownLocation} from '../store/kinds.ts';
export {moveAll} from '../store/move-pages.ts';
export {outputsAt} from '../store/owners/owner-files.ts';
export {defined} from '../support/defined.ts';
export {CodedError, type ErrorCode, FaenaError} from '../support/errors.ts';
export {hashOf} from '../support/hash.ts';
export {clock, count, formatRate, type MapStatus, showBar} from '../support/progress-bar.ts';
export {canRedraw, showLine} from '../support/status-line.ts';
export {version} from '../support/version.ts';
