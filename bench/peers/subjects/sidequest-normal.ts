/** Sidequest's own backend: write-ahead log, and better-sqlite3's default for it, `synchronous=NORMAL`. */
export {default} from '@sidequest/sqlite-backend';
