/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The package entry `faena/testing`: an engine with a clock that a test moves, a task alone, and failpoints. */

// biome-ignore-start assist/source/organizeImports: the version check comes before anything that loads native code
import './support/node.ts';

export {openForTest, TestClock, TestEngine, type TestOptions} from './api/open-for-test.ts';
export {type RunEnqueued, type RunOptions, runTask, type TaskRun} from './api/run-task.ts';
export {FAILPOINTS, type FailpointAct, type FailpointName, type Failpoints} from './support/failpoint.ts';
// biome-ignore-end assist/source/organizeImports: the version check comes before anything that loads native code
