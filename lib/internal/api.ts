/**
 * The inner door of the command line: what it uses of engines and stores. It imports only types from the public entries, since they load SQLite, for
 * `enqueueIn()`, and a map does not need that in its own thread.
 */

export {deleteWholly, toBatchInfo} from '../api/batch-handle.ts';
export {open, openEngine} from '../api/engine.ts';
export {countFresh, NOTHING_FRESH} from '../api/maps/map-freshness.ts';
export type {HaltOption} from '../api/maps/map-options.ts';
export {type PlannedMap, type Preview, previewMap} from '../api/maps/map-preview.ts';
export {changeExisting, findSchedule, nextMoments, resumeSchedule, type ScheduleVerbs, toScheduleInfo} from '../api/schedules.ts';
export {closeOnSignals, isSignalled} from '../api/signals.ts';
export type {InspectedFile, InspectedMove, InspectedSchema, Inspection} from '../store/inspection.ts';
export {schemaSql} from '../store/open-store.ts';
