/** Codes of errors that the functions of the schema raise. */

/** A key belongs to a job with another payload. */
export const KEY_CONFLICT = 'FA001';
/** The call has done nothing, since it must be alone. */
export const MUST_BE_ALONE = 'FA002';
/** A release has given back the claims of this call. */
export const LATE_CLAIM = 'FA003';
/** An owner of another store has this name. */
export const OWNER_IN_USE = 'FA006';
/** The schema has another version than the caller. */
export const OTHER_VERSION = 'FA004';
/** Transactions of the connection are not READ COMMITTED. */
export const OTHER_ISOLATION = 'FA005';
/** Programs are connected that could not use the tables after an upgrade. */
export const PROGRAMS_IN_USE = 'FA007';
/** The call has done nothing, since it was decided by other facts. Its details are the items, each with its facts. */
export const NOT_DECIDED = 'FA008';
/** The queue has moved, or is moving. */
export const QUEUE_MOVED = 'FA009';
