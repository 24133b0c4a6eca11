import test from 'ava';
import {mutate, mutationsOf, mutationsOfStatements, toJavaScript} from './operators.ts';
import {sqlMutationsOf} from './sql-operators.ts';
import {wilson} from './wilson.ts';

/** A source, and all that the operators make of it. */
const MADE: Readonly<Record<string, readonly string[]>> = {
	'a = b < c;': [';', 'a = b <= c;'],
	'if (a) f();': ['if (!(a)) f();', 'if (a) ;'],
	'const a = b ? c : d;': ['const a = (b) ? (d) : (c);'],
	'const a = b && !c;': ['const a = b || !c;', 'const a = b &&  c;'],
	'const a = b ?? c;': ['const a = (b);'],
	'const a = b - 7;': ['const a = b + 7;', 'const a = b - (8);'],
	'const a = await b.slice(1);': ['const a = (b.slice(1));', 'const a = await (b);', 'const a = await b.slice((2));'],
	'for (;a;) { if (b) break; else a--; }': [
		'for (;!(a);) { if (b) break; else a--; }',
		'for (;a;) { if (!(b)) break; else a--; }',
		'for (;a;) { if (b) ; else a--; }',
		'for (;a;) { if (b) break; else ; }',
		'for (;a;) { if (b) break; else a++; }',
	],
	'const a = Math.min(b, -c);': ['const a = Math.max(b, -c);', 'const a = Math.min(b,  c);'],
	'function f() { if (a) return; b += true; }': [
		'function f() { if (!(a)) return; b += true; }',
		'function f() { if (a) ; b += true; }',
		'function f() { if (a) return; ; }',
		'function f() { if (a) return; b -= true; }',
		'function f() { if (a) return; b += false; }',
	],
	// Strings, comments and types stay.
	"const a = 'b < c' + d; // e && f": [],
	'type A = 1 | 2; const a: A = b as 1;': [],
};

for (const [source, mutants] of Object.entries(MADE)) {
	test(`of \`${source}\` the operators make ${mutants.length} mutants`, t => {
		const javaScript = toJavaScript(source);
		t.deepEqual(
			mutationsOf(javaScript)
				.map(mutation => mutate(javaScript, mutation))
				.sort(),
			[...mutants].sort(),
		);
	});
}

test("the interval of a share is Wilson's", t => {
	t.deepEqual(
		wilson(8, 10).map(share => share.toFixed(4)),
		['0.4902', '0.9433'],
	);
	t.is(wilson(20, 20)[1], 1);
});

/** A text in SQL, and all that the operators make of it. */
const MADE_OF_SQL: Readonly<Record<string, readonly string[]>> = {
	'select a from b where c < 5;': ['select a from b where c <= 5;', 'select a from b where c < 6;'],
	"update a set b = 'x = y', c = d where e = f;": ['null;', "update a set b = 'x = y', c = d where e <> f;"],
	'-- a < b\nselect max(a - 1) from b limit 1;': [
		'-- a < b\nselect max(a + 1) from b limit 1;',
		'-- a < b\nselect max(a - 2) from b limit 1;',
		'-- a < b\nselect min(a - 1) from b limit 1;',
	],
	'if a or b then perform c(); end if;': ['if a and b then perform c(); end if;', 'if not (a or b) then perform c(); end if;'],
	'create table a (b integer not null, c text);': [],
	'select count(*), a.* from b left join c on true where d is not null;': [
		'select count(*), a.* from b inner join c on true where d is not null;',
		'select count(*), a.* from b left join c on false where d is not null;',
		'select count(*), a.* from b left join c on true where d is  null;',
	],
};

for (const [sql, mutants] of Object.entries(MADE_OF_SQL)) {
	test(`of \`${sql}\` the operators make ${mutants.length} mutants`, t => {
		t.deepEqual(
			sqlMutationsOf(sql)
				.map(mutation => mutate(sql, mutation))
				.sort(),
			[...mutants].sort(),
		);
	});
}

test('of the statements in a module the operators change the SQL alone', t => {
	const source = `const a = 1 < 2; const sql = \`select 'x' from \${table} where id < \${id}\`; const text = 'this and that';`;
	t.deepEqual(
		mutationsOfStatements(source).map(mutation => mutate(source, mutation)),
		[source.replace('id < $', 'id <= $')],
	);
});
