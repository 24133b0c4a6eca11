/** What the command line asks about the location of a queue, beside its jobs. */
export type {InspectedFile, InspectedMove, InspectedSchema, Inspection} from '../store/inspection.ts';
export {inspect, moveOf, queueExists, schemaSql} from '../store/open-store.ts';
export {isOwnFile, isPostgres, queuePath, shownLocation} from '../store/queue-path.ts';
