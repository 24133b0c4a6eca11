import type {MapResult} from '../index.ts';
import {escapeControls} from './print.ts';

/** Numbers, rates and times as the commands print them. */

/** A number with a comma at each thousand. A damaged row may have another value, which is shown as it is. */
export function count(value: number): string {
	return typeof value === 'number' ? value.toLocaleString('en-US') : String(value);
}

export function formatRate(perSecond: number): string {
	if (perSecond < 0.5) return `${(perSecond * 60).toFixed(1)}/min`;
	return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))}/s`;
}

/** A time such as `0:07`, `12:30` or `1:02:30`. */
export function clock(seconds: number): string {
	const whole = Math.ceil(seconds);
	const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
	const two = (value: number) => String(value).padStart(2, '0');
	return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A date and time. A damaged row may have a number that is not a date, which is shown as it is. */
export function formatTime(at: number): string {
	const date = new Date(at);
	return Number.isNaN(date.getTime()) ? String(at) : date.toISOString();
}

/**
 * A map's result as one line of NDJSON. `reused` marks a job that had ended before this run.
 * @param item also printed, unless it is `undefined`
 */
export function toLine(result: MapResult<unknown, unknown>, item: unknown): string {
	const {key, jobId, status, reused} = result;
	const end = status === 'completed' ? {result: result.result ?? null} : {error: {name: result.error.name, message: result.error.message}};
	return escapeControls(`${toJson({key, item, jobId, status, reused: reused || undefined, ...end})}\n`);
}

/**
 * JSON for any value that a job can have. Values that JSON can't hold are printed for people and `jq`: BigInt, NaN and the
 * infinities as text, a Map as its entries, a Set and an array of numbers as an array, bytes as their number.
 */
export function toJson(value: unknown, indent?: number): string {
	return JSON.stringify(value === undefined ? null : value, toPlain, indent);
}

function toPlain(_name: string, value: unknown): unknown {
	if (typeof value === 'bigint') return String(value);
	if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
	return typeof value === 'object' && value !== null ? objectToPlain(value) : value;
}

function objectToPlain(value: object): unknown {
	if (value instanceof Map || value instanceof Set) return [...value];
	if (value instanceof Error) return {name: value.name, message: value.message};
	if (isBytes(value)) return {bytes: value.byteLength};
	return ArrayBuffer.isView(value) ? [...(value as Float64Array)] : value;
}

function isBytes(value: object): value is Uint8Array {
	return [ArrayBuffer, DataView, Uint8Array, Uint8ClampedArray].some(type => value instanceof type);
}
