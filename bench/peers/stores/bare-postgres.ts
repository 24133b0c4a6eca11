import pg from 'pg';
import type {StoreSubject} from '../../stores/store.ts';
import {createDatabase} from '../subjects/database.ts';

const SCHEMA = `
	create table job (id bigserial primary key, number int not null, state text not null);
	create index job_ready on job (id) where state = 'ready';
`;
const ADD = {name: 'add', text: `insert into job (number, state) select number, 'ready' from generate_series($1::int, $2::int) number`};
const CLAIM = {
	name: 'claim',
	text: `update job set state = 'running' where id in
		(select id from job where state = 'ready' order by id limit $1 for update skip locked) returning id, number`,
};
const COMPLETE = {name: 'complete', text: `update job set state = 'done' where id = any($1)`};

/** The smallest queue that one would write by hand: a table, a partial index, and one statement that claims and skips locked rows. */
export const store: StoreSubject = {
	async create(given, surroundings) {
		const database = await createDatabase(given, surroundings);
		await database.client.query(SCHEMA);
		return {
			address: database.url,
			async fill(first, end) {
				await database.client.query({...ADD, values: [first, end - 1]});
			},
			prepare: database.vacuum,
			async ready() {
				const {rows} = await database.client.query("select count(*)::int as ready from job where state = 'ready'");
				return rows[0].ready as number;
			},
			close: database.drop,
		};
	},
	async connect(address) {
		const client = new pg.Client({connectionString: address});
		await client.connect();
		return {
			add: (first, end) => client.query({...ADD, values: [first, end - 1]}),
			async claim(most) {
				const {rows} = await client.query<{id: string; number: number}>({...CLAIM, values: [most]});
				return {numbers: rows.map(({number}) => number), handle: rows.map(({id}) => id)};
			},
			async complete({handle}) {
				await client.query({...COMPLETE, values: [handle]});
			},
			close: () => client.end(),
		};
	},
};
