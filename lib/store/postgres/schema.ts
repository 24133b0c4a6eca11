import {randomUUID} from 'node:crypto';
import pg from 'pg';
import {ARRIVED} from './arrived.sql.ts';
import {BASE} from './base.sql.ts';
import {BATCHES} from './batches.sql.ts';
import {CHANGE} from './change.sql.ts';
import {CHILD_JOBS} from './child-jobs.sql.ts';
import {CLAIM} from './claim.sql.ts';
import {COMMIT} from './commit.sql.ts';
import {COUNTS} from './counts.sql.ts';
import {DELETE} from './delete.sql.ts';
import {EDGES} from './edges.sql.ts';
import {ENQUEUE} from './enqueue.sql.ts';
import {EXPIRY} from './expiry.sql.ts';
import {KEYS} from './keys.sql.ts';
import {MOVE} from './move.sql.ts';
import {OWNERS} from './owners.sql.ts';
import {READ} from './read.sql.ts';
import {SCHEDULES} from './schedules.sql.ts';
import {SETTLE} from './settle.sql.ts';
import {SORTED} from './sorted.sql.ts';
import {TABLES} from './tables.sql.ts';
import {USED_RESULTS} from './used-results.sql.ts';
import {VIEWS} from './views.sql.ts';

/** The version of the schema. A program refuses any other. */
export const VERSION = 1;

const SORTED_ROWS = 'sorted_rows(text, integer[], text, text, float8, float8, bigint, integer, float8, float8)';

/** The functions that programs call. They find the others, and the tables, by these. */
const ENTRIES = [
	'commit(jsonb, text[], bytea[])',
	...[
		'move(jsonb)',
		'heartbeat(jsonb)',
		'release(jsonb)',
		'reclaim(jsonb)',
		'news(jsonb)',
		'set_paused(jsonb)',
		'adopt(jsonb)',
		'tell_others(integer)',
		'size()',
		'look_at_owners(jsonb)',
	],
	...['enqueue(text, jsonb, jsonb)', 'enqueue_job(jsonb, text, bytea)'],
	...['open_batch(jsonb)', 'change_batch(jsonb)', 'read_batches(jsonb)'],
	...['delete_by_id(jsonb)', 'delete_ended_before(jsonb)', 'delete_outdated(jsonb)', 'delete_batch(jsonb)'],
	'find_ids(jsonb, integer[], bigint, bigint, integer)',
	'holders(jsonb)',
	SORTED_ROWS,
	...['describe(bigint[], boolean)', 'ends_of(bigint[])', 'executions_of(bigint)', 'counts()', 'look_at_arrived(bigint)'],
	...['edges_from(bigint, bigint, bigint)', 'edges_to(bigint, bigint)'],
];

/**
 * A backslash in a text is one, whatever the user's settings say. How statements of the functions are planned: once for each connection, and by index. A table may have been empty when its statistics were made, or when
 * the plan was.
 */
const SETTINGS = "set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off set standard_conforming_strings to on";

/** The body of an SQL function that returns what `call` makes of a text. */
function bodyOf(call: string, text: string): string {
	return pg.escapeLiteral(`select ${call}(${pg.escapeLiteral(text)})`);
}

/**
 * The statements that make the schema.
 * @param name the schema, quoted
 */
export function schemaSql(schema: string, name: string): string {
	const queue = randomUUID();
	return `
		select pg_advisory_xact_lock(hashtext(${pg.escapeLiteral(`faena ${schema}`)}));
		-- A user may have the right to use a schema, and none to make one.
		do ${pg.escapeLiteral(`begin if to_regnamespace(${pg.escapeLiteral(name)}) is null then create schema ${name}; end if; end`)};
		set local search_path to ${name}, pg_temp;
		-- Functions call each other in any order.
		set local check_function_bodies to off;
		create table version (number integer not null, queue uuid not null);
		insert into version values (${VERSION}, '${queue}');
		create function schema_version() returns integer language sql immutable as $$ select ${VERSION} $$;
		-- Calls of a program that knows another queue, which was here before, are refused.
		create function queue_id() returns text language sql immutable as $$ select '${queue}' $$;
		-- Locks of other queues in the same database have other numbers.
		create function lock_key() returns integer language sql immutable as ${bodyOf('hashtext', `faena ${schema}`)};
		-- Of batches, whose numbers come with it.
		create function batches_lock_key() returns integer language sql immutable as ${bodyOf('hashtext', `faena batches ${schema}`)};
		-- Notifications of queues whose numbers happen to be the same wake more listeners than they need to.
		create function channel() returns text language sql immutable as ${bodyOf("'faena_' || hashtext", `faena ${schema}`)};
		${TABLES}
		${[BASE, ARRIVED, COUNTS, CHANGE, EXPIRY, EDGES, USED_RESULTS, KEYS, MOVE, CHILD_JOBS, SCHEDULES, BATCHES, DELETE, SETTLE, CLAIM, ENQUEUE, OWNERS, READ, SORTED, COMMIT].join('')}
		${VIEWS}
		${ENTRIES.map(entry => `alter function ${entry} set search_path to ${name}, pg_temp ${SETTINGS};`).join('\n')}
		-- The rows come in the order of an index. To find all and sort them would take as long as there are rows.
		alter function ${SORTED_ROWS} set enable_bitmapscan to off set enable_sort to off;
	`;
}
