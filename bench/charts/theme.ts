import type {Config} from 'vega-lite';
import {show} from '../analyse/numbers.ts';
import type {Run} from '../analyse/run.ts';
import type {Mark} from './spec.ts';

/** Colours that colour-blind readers can tell apart (Okabe and Ito 2008), without the yellow, which is too pale for lines. */
export const FAENA = '#D55E00';
export const OTHERS = ['#0072B2', '#009E73', '#CC79A7', '#56B4E9', '#6E6E6E', '#A6761D'] as const;
export const INK = '#222222';
export const FAINT = '#767676';
export const BAR = '#9DB2C4';

/** A subject's colour, the same in all panels of a chart. */
export function colourOf(subject: string, others: readonly string[]): string {
	return subject === 'faena' ? FAENA : (OTHERS[others.indexOf(subject) % OTHERS.length] as string);
}

export const CONFIG: Config = {
	font: 'Helvetica, Arial, DejaVu Sans, sans-serif',
	background: 'white',
	padding: 10,
	view: {stroke: null},
	axis: {
		labelColor: INK,
		titleColor: INK,
		labelFontSize: 11,
		titleFontSize: 11,
		titleFontWeight: 'normal',
		titlePadding: 6,
		gridColor: '#E8E8E8',
		domainColor: FAINT,
		tickColor: FAINT,
	},
	title: {
		anchor: 'start',
		frame: 'group',
		fontSize: 14,
		fontWeight: 'bold',
		color: INK,
		subtitleFontSize: 11,
		subtitleColor: FAINT,
		subtitlePadding: 6,
		offset: 12,
		lineHeight: 18,
		subtitleLineHeight: 15,
	},
	text: {fontSize: 11, color: INK},
};

/** Two lines below a title: on which machine a trial was measured, and how often. */
export function machineOf({machine, at, measured}: Run, trial: string): [string, string] {
	const {processors, model, node} = machine;
	const blocks = new Set(measured.filter(entry => entry.trial === trial).map(({block}) => block)).size;
	const often = blocks === 1 ? 'measured once' : blocks === 2 ? 'medians of 2 blocks' : `medians of ${show(blocks)} blocks, with 95 % intervals`;
	return [`${processors} processors (${model}), Node.js ${node}, ${at.slice(0, 10)};`, often];
}

/** Ticks as `0`, `50k`, `10M`. */
export const SHORT = "datum.value === 0 ? '0' : format(datum.value, '~s')";

/** A line of text that begins at a position of the panel, in pixels. A negative `y` is above the panel. */
export function textAt(
	text: string,
	{x, y}: {readonly x: number; readonly y: number},
	style: {readonly color?: string; readonly fontSize?: number; readonly bold?: boolean} = {},
): Mark {
	const {color = INK, fontSize = 11, bold = false} = style;
	return {
		data: {values: [{}]},
		mark: {type: 'text', align: 'left', baseline: 'middle', text, color, fontSize, fontWeight: bold ? 'bold' : 'normal'},
		encoding: {x: {value: x}, y: {value: y}},
	};
}
