import test from 'ava';
import {mutate, mutationsOf, toJavaScript} from './operators.ts';
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
