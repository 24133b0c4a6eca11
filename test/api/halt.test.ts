import test from 'ava';
import {Halt, type HaltOption} from '../../lib/api/maps/map-options.ts';

type End = 'completed' | 'dead' | 'cancelled';
const ENDS: Readonly<Record<string, End>> = {C: 'completed', D: 'dead', X: 'cancelled'};

/** After how many ends the map is halted; 0 if never. */
function haltedAfter(option: Partial<HaltOption>, ends: string): number {
	const halt = new Halt({when: 'soon', on: 'fail', at: 1, ...option});
	return [...ends].findIndex(end => halt.observe(ENDS[end] as End)) + 1;
}

test('a number counts jobs that died, or that completed', t => {
	t.is(haltedAfter({at: 1}, 'CCXD'), 4);
	t.is(haltedAfter({at: 3}, 'DCDXD'), 5);
	t.is(haltedAfter({at: 3}, 'DCDX'), 0);
	t.is(haltedAfter({on: 'success', at: 2}, 'DDCXC'), 5);
});

test('a percentage is of the jobs that have ended, and counts from the third on', t => {
	t.is(haltedAfter({at: '10%'}, 'DD'), 0);
	t.is(haltedAfter({at: '10%'}, 'DDD'), 3);
	t.is(haltedAfter({at: '50%'}, 'DCDCCDCCCC'), 6);
	t.is(haltedAfter({at: '50%'}, 'DCDCCCDXD'), 0);
	t.is(haltedAfter({at: '50%'}, 'DCDCCCDDD'), 8);
	t.is(haltedAfter({on: 'success', at: '75%'}, 'DCCC'), 4);
	t.is(haltedAfter({at: '0.5%'}, `${'C'.repeat(600)}DDD`), 0);
	t.is(haltedAfter({at: '0.5%'}, `${'C'.repeat(500)}DDD`), 503);
});
