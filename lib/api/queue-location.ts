/** What the command line asks about the location of a queue before it opens it. */
export {queueExists} from '../store/open-store.ts';
export {isPostgres, shownLocation} from '../store/queue-path.ts';
